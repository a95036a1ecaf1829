//go:build goshawk

// Package network gives the guest its network: the stack, its links, the protocol families, and what
// configures them. The overlaid package net imports it, so that all is there before the program
// opens a socket; the machine's addresses come when they come.
package network

import (
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/goshawk-os/goshawk/boot/devices"
	"github.com/goshawk-os/goshawk/kernel/linux"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
	"github.com/goshawk-os/goshawk/net/configure"
	"github.com/goshawk-os/goshawk/net/inet"
	"github.com/goshawk-os/goshawk/net/netlink"
	"github.com/goshawk-os/goshawk/net/netstack"
	"github.com/goshawk-os/goshawk/net/socket"
)

func init() { start(readOptions(nucleus.CommandLine(), warn)) }

// configuration is that of the machine's links.
var configuration *configure.Configuration

// Await waits until the machine has its addresses and name servers, or has waited long enough, if it is
// still being configured.
func Await() { configuration.Wait() }

// hostLines guards nucleus.TellHost.
var hostLines sync.Mutex

func tellHost(line string) {
	hostLines.Lock()
	nucleus.TellHost(line)
	hostLines.Unlock()
}

func start(o options) {
	var f *netlink.Family // is there before anything is configured
	c := configure.New(configure.Options{Hostname: o.hostname, Host: host{}, Clock: clock{}, Warn: warn, Changed: func() { f.Changed() }})
	configuration = c
	socket.AwaitNetwork = c.Wait
	socket.NotifyHost = tellHost
	memory, _ := nucleus.MemInfo()
	s := netstack.New(netstack.Options{
		Memory:   memory,
		CPUs:     nucleus.NumCPU(),
		Random:   random{},
		Nanotime: nucleus.Nanotime,
		NDP:      c.NDP(),
		Warn:     warn,
	})
	if err := startCapture(s, o.pcap); err != nil {
		warn("pcap=" + o.pcap + ": " + err.Error())
	}
	inet.Register(s.Stack)
	inet.PacketSockets, inet.Promiscuous = s.WantPackets, promiscuous(s)
	f = netlink.New(s)
	f.Sockets = linux.Sockets
	inet.InterfaceIoctl = func(request uint, arg unsafe.Pointer) syscall.Errno {
		if err, ok := f.Ioctl(request, arg); ok {
			return err
		}
		return syscall.ENOTTY
	}
	socket.Register(syscall.AF_NETLINK, f)
	showFiles(s, f)

	var links []configure.Link
	for i, t := range devices.Networks(warn) {
		name := "eth" + strconv.Itoa(i)
		l, err := addLink(s, name, t)
		if err != nil {
			warn(name + ": " + err.Error())
			continue
		}
		links = append(links, configure.Link{NIC: tcpip.NICID(l.Index()), Name: name, Options: o.link(i)})
	}
	s.WatchLinks(func(l *netstack.Link) {
		if l.Up() && l.Carrier() {
			c.LinkUp(tcpip.NICID(l.Index()))
		} else {
			c.LinkDown(tcpip.NICID(l.Index()))
		}
	})
	c.Start(s.Stack, links)
}

// promiscuous returns what sets a link to receive frames for others too.
func promiscuous(s *netstack.Stack) func(index int, on bool) syscall.Errno {
	return func(index int, on bool) syscall.Errno {
		l := s.Link(index)
		if l == nil {
			return syscall.ENODEV
		}
		if l.SetPromiscuous(on) != nil {
			return syscall.EOPNOTSUPP
		}
		return 0
	}
}

// random is the kernel's generator.
type random struct{}

// Read fills p.
func (random) Read(p []byte) (int, error) {
	nucleus.Random(p)
	return len(p), nil
}

func warn(text string) { nucleus.ConsoleWrite([]byte("goshawk: " + text + "\r\n")) }
