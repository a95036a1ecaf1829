package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goshawk-os/goshawk/qemu"
)

// networkFlags are the flags of goshawk run and test that say what network the machine has.
type networkFlags struct {
	nets     []string
	ports    []string
	hostname string
	pcap     string
}

func (n *networkFlags) define(fs *flag.FlagSet) {
	fs.Func("net", "how a network device is connected, and the guest's addresses on it; repeatable (see below)", func(s string) error {
		n.nets = append(n.nets, s)
		return nil
	})
	fs.StringVar(&n.hostname, "hostname", "", "the guest's host `name` (default as DHCP says, else goshawk)")
}

// definePorts defines the flags that are of no use to tests.
func (n *networkFlags) definePorts(fs *flag.FlagSet) {
	fs.Func("p", "forward a `port`: [[address:]port:]guest-port[/udp]; repeatable", func(s string) error {
		n.ports = append(n.ports, s)
		return nil
	})
	fs.StringVar(&n.pcap, "pcap", "", "write what the guest's network stack sends and receives to `file`, for Wireshark")
}

// networkHelp explains the flags.
const networkHelp = `
Without -net the machine has one network device on QEMU's user networking, which
needs no privilege: the guest gets an address by DHCP and reaches what this
machine reaches. -p 8080:80 leads from port 8080 of 127.0.0.1 to its port 80;
with -p 80 goshawk chooses the port on this side and says which.

-net takes words joined by commas. One may say where the device is connected:

  user                      user networking (default)
  tap=NAME                  a tap device of this machine, which has to be there
  socket=listen:[HOST:]PORT another machine, which connects; also a path
  socket=connect:HOST:PORT  another machine, which listens; also a path
  socket=mcast:GROUP:PORT   any number of machines, by IP multicast
  none                      with nothing else: the machine has no device

mac=ADDRESS sets its address. The other words are for the guest:

  dhcp                      IPv4 by DHCP (default without addr=)
  addr=ADDRESS/BITS         an address, IPv4 or IPv6; repeatable
  gw=ADDRESS                the default router, one of IPv4 and one of IPv6
  dns=ADDRESS               a name server, up to three
  ntp=ADDRESS               a time server; repeatable
  domain=NAME, search=NAME  the domain, and others to look for short names in
  mtu=BYTES                 the longest IP packet
  none                      behind another word: leave the device alone`

// apply gives the machine its network devices.
func (n *networkFlags) apply(vm *qemu.Machine) error {
	vm.Hostname = n.hostname
	if n.pcap != "" {
		file, err := filepath.Abs(n.pcap)
		if err != nil {
			return err
		}
		vm.Pcap = file
	}
	nets := n.nets
	if len(nets) == 0 {
		nets = []string{"user"}
	}
	for _, text := range nets {
		nic, err := parseNIC(text)
		if err != nil {
			return usagef("-net %s: %w", text, err)
		}
		if nic != nil {
			vm.NICs = append(vm.NICs, *nic)
		} else if len(nets) > 1 {
			return usagef("-net none goes with no other -net")
		}
	}
	return n.forward(vm)
}

// parseNIC reads the value of -net; nil is no device.
func parseNIC(text string) (*qemu.NIC, error) {
	if text == "" {
		return nil, errors.New("no words")
	}
	var nic qemu.NIC
	var config []string
	connect := func(b qemu.Backend) error {
		if nic.Backend != nil {
			return errors.New("one connection for each -net")
		}
		nic.Backend = b
		return nil
	}
	for word := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "user":
			err = connect(qemu.User{})
			if err == nil && word != key {
				err = fmt.Errorf("user has no value")
			}
		case "tap":
			err = connect(qemu.Tap(value))
		case "socket":
			var b qemu.Backend
			if b, err = parseSocket(value); err == nil {
				err = connect(b)
			}
		case "mac":
			nic.MAC, err = net.ParseMAC(value)
		default:
			config = append(config, word)
		}
		if err != nil {
			return nil, err
		}
	}
	if text == "none" {
		return nil, nil
	}
	nic.Config = strings.Join(config, ",")
	settings, err := checkConfig(nic.Config)
	if err != nil {
		return nil, err
	}
	switch nic.Backend.(type) {
	case nil, qemu.User:
		nic.Backend = userNetworking(settings)
	}
	return &nic, nil
}

// parseSocket reads the value of socket=.
func parseSocket(value string) (qemu.Backend, error) {
	kind, address, _ := strings.Cut(value, ":")
	network := "tcp"
	if kind != "mcast" && strings.Contains(address, "/") {
		network = "unix"
	} else {
		if kind == "listen" && !strings.Contains(address, ":") {
			address = "127.0.0.1:" + address
		}
		host, port, err := net.SplitHostPort(address)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
			return nil, fmt.Errorf("socket=%s: write socket=listen:PORT, socket=connect:HOST:PORT or socket=mcast:GROUP:PORT", value)
		}
		if group, err := netip.ParseAddr(host); kind == "mcast" && (err != nil || !group.Is4() || !group.IsMulticast()) {
			return nil, fmt.Errorf("socket=%s: %s is no group; write one from 224.0.0.0 to 239.255.255.255", value, host)
		}
	}
	switch kind {
	case "listen", "connect":
		return qemu.Stream{Listen: kind == "listen", Network: network, Address: address}, nil
	case "mcast":
		return qemu.Datagram{Network: "udp", Remote: address}, nil
	}
	return nil, fmt.Errorf("socket=%s: write socket=listen:PORT, socket=connect:HOST:PORT or socket=mcast:GROUP:PORT", value)
}

// forward gives the ports of -p to the first device on user networking.
func (n *networkFlags) forward(vm *qemu.Machine) error {
	if len(n.ports) == 0 {
		return nil
	}
	for i := range vm.NICs {
		user, ok := vm.NICs[i].Backend.(qemu.User)
		if !ok {
			continue
		}
		taken := make(map[netip.AddrPort]bool)
		for _, text := range n.ports {
			f, err := parseForward(text)
			if err != nil {
				return usagef("-p %s: %w", text, err)
			}
			if f.Host.Port() == 0 {
				if f.Host, err = choosePort(f, taken); err != nil {
					return fmt.Errorf("-p %s: %w", text, err)
				}
			}
			taken[f.Host] = true
			user.Forwards = append(user.Forwards, f)
		}
		vm.NICs[i].Backend = user
		return nil
	}
	return usagef("-p is for user networking; without it the guest has an address of its own")
}

// parseForward reads the value of -p. Without a port on this side it is 0.
func parseForward(text string) (qemu.Forward, error) {
	f := qemu.Forward{Host: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)}
	ports, network, given := strings.Cut(text, "/")
	if f.UDP = network == "udp"; given && !f.UDP && network != "tcp" {
		return f, fmt.Errorf("%q is not tcp or udp", network)
	}
	port := func(s string) (uint16, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no port: write a number up to 65535", s)
		}
		return uint16(n), nil
	}
	rest := ports
	if i := strings.LastIndexByte(ports, ':'); i >= 0 {
		host := ports[:i]
		rest = ports[i+1:]
		addr := f.Host.Addr()
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			var err error
			if addr, err = netip.ParseAddr(strings.Trim(host[:i], "[]")); err != nil {
				return f, fmt.Errorf("%q is no IP address of this machine", host[:i])
			}
			host = host[i+1:]
		}
		var n uint16
		if host != "" {
			var err error
			if n, err = port(host); err != nil {
				return f, err
			}
		}
		f.Host = netip.AddrPortFrom(addr, n)
	}
	var err error
	if f.Guest, err = port(rest); err == nil && f.Guest == 0 {
		err = errors.New("the guest's port cannot be 0")
	}
	return f, err
}

// choosePort returns a free port that is easy to remember, if there is one: the guest's own, or for a
// port that needs privilege the one 8000 above.
func choosePort(f qemu.Forward, taken map[netip.AddrPort]bool) (netip.AddrPort, error) {
	like := f.Guest
	if like < 1024 {
		like += 8000
	}
	want := f
	want.Host = netip.AddrPortFrom(f.Host.Addr(), like)
	if !taken[want.Host] && want.Free() == nil {
		return want.Host, nil
	}
	return qemu.FreePort(f.Network(), f.Host.Addr())
}
