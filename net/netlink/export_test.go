package netlink

import "github.com/goshawk-os/goshawk/net/netstack"

// NewFamily is newFamily for tests of what is made from a family.
var NewFamily = newFamily

// Stack returns the stack of f.
func (f *Family) Stack() *netstack.Stack { return f.stack }
