// Package net is what the network stack below package net sees in its place:
// the value types alone. The rest of the package is files of net itself.
package net

// An AddrError says what is wrong with an address.
type AddrError struct {
	Err  string
	Addr string
}

func (e *AddrError) Error() string   { return "address " + e.Addr + ": " + e.Err }
func (e *AddrError) Timeout() bool   { return false }
func (e *AddrError) Temporary() bool { return false }

// A ParseError says that text is not an address of its type.
type ParseError struct {
	Type string // what was expected, as "IP address" or "CIDR address"
	Text string
}

func (e *ParseError) Error() string   { return "invalid " + e.Type + ": " + e.Text }
func (e *ParseError) Timeout() bool   { return false }
func (e *ParseError) Temporary() bool { return false }
