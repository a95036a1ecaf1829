package main

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/goshawk-os/goshawk/qemu"
)

// An announcer says where a guest's servers are reached.
type announcer struct {
	w    io.Writer
	nics []qemu.NIC
	said map[uint16]bool
}

// maxHints is the number of ports that nothing leads to of which an announcer speaks: a program may
// listen on many.
const maxHints = 3

// announce has what a machine's program listens on told to w.
func announce(vm *qemu.Machine, w io.Writer) {
	a := &announcer{w: w, nics: vm.NICs, said: make(map[uint16]bool)}
	vm.Listening = a.listening
	for _, f := range a.forwards() {
		if f.UDP { // of which no guest says that it listens
			fmt.Fprintf(w, "goshawk: the guest's UDP port %d is at %v\n", f.Guest, f.Host)
		}
	}
}

func (a *announcer) forwards() []qemu.Forward {
	for _, n := range a.nics {
		if user, ok := n.Backend.(qemu.User); ok && len(user.Forwards) > 0 {
			return user.Forwards
		}
	}
	return nil
}

// listening says once for each port where it is reached, or what is missing.
func (a *announcer) listening(network string, addr netip.AddrPort) {
	port := addr.Port()
	if a.said[port] || network != "tcp" {
		return
	}
	a.said[port] = true
	var places []netip.AddrPort
	user := false
	for _, n := range a.nics {
		switch b := n.Backend.(type) {
		case qemu.User:
			user = true
			for _, f := range b.Forwards {
				if !f.UDP && f.Guest == port {
					places = append(places, f.Host)
				}
			}
		default:
			// The flags have been checked before.
			settings, _ := checkConfig(n.Config)
			for _, p := range settings.Addresses {
				places = append(places, netip.AddrPortFrom(p.Addr(), port))
			}
		}
	}
	for _, p := range places {
		fmt.Fprintf(a.w, "goshawk: guest port %d answers at %v%s\n", port, p, link(port, p))
	}
	if len(places) == 0 && user && len(a.said) <= maxHints {
		fmt.Fprintf(a.w, "goshawk: the guest listens on port %d, to which nothing leads; for that: goshawk run -p %d\n", port, port)
	}
}

// link returns the URL of a server on a port that web servers use, in parentheses.
func link(guestPort uint16, at netip.AddrPort) string {
	scheme, standard := "", uint16(0)
	switch guestPort {
	case 80, 3000, 8000, 8080:
		scheme, standard = "http", 80
	case 443, 8443:
		scheme, standard = "https", 443
	default:
		return ""
	}
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	host := at.String()
	if at.Port() == standard {
		host = at.Addr().String()
		if at.Addr().Is6() {
			host = "[" + host + "]"
		}
	}
	return fmt.Sprintf(" (%s://%s/)", scheme, host)
}
