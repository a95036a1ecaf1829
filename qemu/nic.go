package qemu

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// MaxNICs is the largest number of network devices of a machine. A microvm has at least as many slots.
const MaxNICs = 8

// A NIC is a network device of a machine. The zero value is virtio-net on user networking.
type NIC struct {
	Backend Backend          // where its frames go; nil is User{}
	MAC     net.HardwareAddr // nil: chosen, so that machines on one wire differ
	Model   string           // a device of QEMU by name, for a guest without a driver for it; "" is virtio-net
	Config  string           // how the guest configures it, the kernel's option net=; "" is by DHCP
}

// A Backend is where the frames of a NIC go: User, Tap, Stream or Datagram.
type Backend interface {
	// netdev returns the value of QEMU's option -netdev without the identifier. cpus is the machine's
	// number of CPUs.
	netdev(cpus int) (string, error)
	// queues returns the number of pairs of queues that the device is to have.
	queues(cpus int) int
	// mac returns the address of a device without one, nil to leave it to QEMU.
	mac() net.HardwareAddr
}

func (n NIC) backend() Backend {
	if n.Backend == nil {
		return User{}
	}
	return n.Backend
}

func (n NIC) mac() net.HardwareAddr {
	if n.MAC == nil {
		return n.backend().mac()
	}
	return n.MAC
}

// checkNetwork finds values that cannot be.
func (m *Machine) checkNetwork() error {
	if len(m.NICs) > MaxNICs {
		return fmt.Errorf("%d network devices: choose at most %d", len(m.NICs), MaxNICs)
	}
	if m.Hostname != "" {
		if err := options.CheckHostname(m.Hostname); err != nil {
			return err
		}
	}
	for _, n := range m.NICs {
		if n.Config != "" {
			if _, err := options.Parse(n.Config); err != nil {
				return err
			}
		}
		if _, err := n.backend().netdev(max(1, m.CPUs)); err != nil {
			return err
		}
		if n.MAC != nil && (len(n.MAC) != 6 || n.MAC[0]&1 != 0) {
			return fmt.Errorf("MAC address %v: write six bytes, the first of which is even", n.MAC)
		}
	}
	return nil
}

// checkHost finds out whether this machine has the ports, taps and disks that m needs, and takes its
// capture.
func (m *Machine) checkHost() error {
	if m.Pcap != "" {
		file, err := os.OpenFile(m.Pcap, os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		file.Close()
	}
	for _, d := range m.Disks {
		if err := d.check(); err != nil {
			return err
		}
	}
	for _, s := range m.Shares {
		if err := s.check(); err != nil {
			return err
		}
	}
	for _, n := range m.NICs {
		switch b := n.backend().(type) {
		case User:
			release, err := b.takeForwards()
			if err != nil {
				return err
			}
			defer release() // after the others, with which it may collide
		case Tap:
			if err := b.check(); err != nil {
				return err
			}
		case Stream:
			if err := b.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tap is a tap device of this machine, by its name: the fastest way, and the one by which the guest is
// a host like others. It has to be there and up. The device gets a pair of queues for each CPU if the
// tap was made with multi_queue.
type Tap string

func (t Tap) netdev(cpus int) (string, error) {
	s := "tap,ifname=" + escape(string(t)) + ",script=no,downscript=no,vhost=off"
	if n := t.queues(cpus); n > 1 {
		s += ",queues=" + strconv.Itoa(n)
	}
	return s, nil
}

// mac derives the address from the name: one machine at a time has the tap, and its neighbours do not
// see the address change when it starts again.
func (t Tap) mac() net.HardwareAddr {
	h := sha256.Sum256([]byte(t))
	return localMAC(h[:])
}

func localMAC(tail []byte) net.HardwareAddr {
	return append(net.HardwareAddr{0x52, 0x54, 0x00}, tail[:3]...)
}

// randomMAC is for machines that share a wire and do not know each other.
func randomMAC() net.HardwareAddr {
	var b [3]byte
	rand.Read(b[:])
	return localMAC(b[:])
}

// Stream carries frames over a connection, each behind its length as 32 bits in network byte order. It
// joins two machines, one of which listens.
type Stream struct {
	Listen  bool
	Network string // "tcp" or "unix"
	Address string // host:port, or a path
}

func (s Stream) queues(int) int        { return 1 }
func (s Stream) mac() net.HardwareAddr { return randomMAC() }

func (s Stream) netdev(int) (string, error) {
	addr, err := socketAddress("addr", s.Network, s.Address)
	if err != nil {
		return "", err
	}
	server := "off"
	if s.Listen {
		server = "on"
	}
	return "stream,server=" + server + addr, nil
}

// check finds out whether the address can be had, or somebody listens there: QEMU 7.2 tries once and
// then says nothing. A path is not tried, since its queue has room for one connection.
func (s Stream) check() error {
	var err error
	switch {
	case s.Listen:
		var l net.Listener
		if l, err = net.Listen(s.Network, s.Address); err != nil {
			return err
		}
		return l.Close()
	case s.Network == "unix":
		_, err = os.Stat(s.Address)
	default:
		var c net.Conn
		if c, err = net.DialTimeout(s.Network, s.Address, 5*time.Second); err == nil {
			return c.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("the machine at the other end has to be started first: %w", err)
	}
	return nil
}

// Datagram carries each frame in a datagram. With a multicast address as Remote any number of machines
// are on one wire.
type Datagram struct {
	Network       string // "udp" or "unix"
	Local, Remote string // host:port, or paths; Local may be empty if Remote is a multicast address
}

func (d Datagram) queues(int) int        { return 1 }
func (d Datagram) mac() net.HardwareAddr { return randomMAC() }

func (d Datagram) netdev(int) (string, error) {
	s := "dgram"
	if d.Local != "" {
		addr, err := socketAddress("local", d.Network, d.Local)
		if err != nil {
			return "", err
		}
		s += addr
	}
	addr, err := socketAddress("remote", d.Network, d.Remote)
	return s + addr, err
}

// socketAddress writes a SocketAddress of QEMU as properties below name.
func socketAddress(name, network, address string) (string, error) {
	if network == "unix" {
		return fmt.Sprintf(",%s.type=unix,%s.path=%s", name, name, escape(address)), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(",%s.type=inet,%s.host=%s,%s.port=%s", name, name, escape(host), name, port), nil
}

// escape writes a value so that QEMU's list of properties takes it as it is.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
