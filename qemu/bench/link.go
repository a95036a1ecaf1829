//go:build linux && amd64

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/goshawk-os/goshawk/qemu"
)

// A link is a way between host and guest.
type link struct {
	name  string
	guest netip.Prefix // the guest's address
	tap   string       // "" is user networking
}

// Links of the benchmarks. The tap has its own network, a private one (RFC 1918).
var (
	userLink = link{"user networking", netip.MustParsePrefix("10.0.2.15/24"), ""}
	tapLink  = link{"tap", netip.MustParsePrefix("10.213.37.2/24"), fmt.Sprintf("bench-%d", os.Getpid())}
	tapHost  = netip.MustParsePrefix("10.213.37.1/24")
	tapMAC   = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}
)

// links returns the links that can be had here: a tap needs root. Closing removes them.
func (b *bench) links() (links []link, closeAll func(), err error) {
	links = []link{userLink}
	if os.Geteuid() != 0 {
		note("no tap: making one needs root")
		return links, func() {}, nil
	}
	// Also after an interrupt: a tap left over keeps the address that the next run wants.
	remove := func() { output(context.WithoutCancel(b.ctx), "", "ip", "link", "delete", tapLink.tap) }
	for _, args := range []string{
		"tuntap add mode tap name " + tapLink.tap,
		"address add " + tapHost.String() + " dev " + tapLink.tap,
		"link set " + tapLink.tap + " up",
		// The first packet does not wait for an answer of a guest that has not started.
		fmt.Sprintf("neighbour add %v lladdr %v dev %s nud permanent", tapLink.guest.Addr(), tapMAC, tapLink.tap),
	} {
		if _, err := output(b.ctx, "", append([]string{"ip"}, strings.Fields(args)...)...); err != nil {
			remove()
			return nil, nil, err
		}
	}
	return append(links, tapLink), remove, nil
}

// ports are those of qemu/bench/server.
const (
	httpPort   = 80
	sinkPort   = 81
	sourcePort = 82
	echoPort   = 83
)

// device returns the network device of a guest and, by the server's ports, where the host reaches them.
func (l link) device() (qemu.NIC, map[uint16]string, error) {
	places := make(map[uint16]string)
	ports := []uint16{httpPort, sinkPort, sourcePort, echoPort}
	if l.tap != "" {
		for _, p := range ports {
			places[p] = netip.AddrPortFrom(l.guest.Addr(), p).String()
		}
		return qemu.NIC{Backend: qemu.Tap(l.tap), MAC: tapMAC, Config: "addr=" + l.guest.String()}, places, nil
	}
	var user qemu.User
	for _, p := range ports {
		f := qemu.Forward{Guest: p}
		var err error
		if f.Host, err = qemu.FreePort(f.Network(), netip.MustParseAddr("127.0.0.1")); err != nil {
			return qemu.NIC{}, nil, err
		}
		places[p] = f.Host.String()
		user.Forwards = append(user.Forwards, f)
	}
	return qemu.NIC{Backend: user, Config: "addr=" + l.guest.String()}, places, nil
}

// guestAddress returns the address that the configuration of a link's device says.
func guestAddress(n qemu.NIC) netip.Prefix {
	return netip.MustParsePrefix(strings.TrimPrefix(n.Config, "addr="))
}

// url returns the address of the HTTP server.
func url(places map[uint16]string, path string) string { return "http://" + places[httpPort] + path }

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return strconv.Itoa(n) + " connections"
}
