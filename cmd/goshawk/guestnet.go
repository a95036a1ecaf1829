package main

import (
	"errors"
	"strings"

	"github.com/goshawk-os/goshawk/net/configure/options"
	"github.com/goshawk-os/goshawk/qemu"
)

// checkConfig reads what is for the guest in a value of -net.
func checkConfig(text string) (options.Link, error) {
	if text == "" {
		return options.Default(), nil
	}
	l, err := options.Parse(text)
	if err != nil {
		// Where the words stand is said by the flag's name.
		err = errors.New(strings.TrimPrefix(err.Error(), "net="+text+": "))
	}
	return l, err
}

// userNetworking returns user networking with a network in which the guest's addresses are right.
func userNetworking(l options.Link) qemu.User {
	var u qemu.User
	for _, p := range l.Addresses {
		switch {
		case p.Addr().Is4() && !u.Guest.IsValid():
			u.Guest = p
		case p.Addr().Is6() && !u.Guest6.IsValid():
			u.Guest6 = p
		}
	}
	if u.Guest.IsValid() {
		u.Gateway = l.Gateway(false)
		for _, a := range l.DNS {
			// Others are reached by way of QEMU.
			if u.Guest.Contains(a) && !u.DNS.IsValid() && a != u.Gateway {
				u.DNS = a
			}
		}
	}
	return u
}
