// Package pci finds PCI functions and sets them up: configuration space, bus
// scan, base address registers, capabilities and MSI-X. References are to the
// PCI Local Bus Specification 3.0 (PCI), unless said. Addresses are assigned
// by the firmware.
package pci

import (
	"strconv"
	"sync"

	"github.com/goshawk-os/goshawk/drivers/platform"
)

// An Address is the place of a function.
type Address struct {
	Bus, Device, Function uint8
}

// String returns the usual form, such as 00:1f.2.
func (a Address) String() string {
	hex := func(v uint8) string {
		s := strconv.FormatUint(uint64(v), 16)
		if len(s) < 2 {
			s = "0" + s
		}
		return s
	}
	return hex(a.Bus) + ":" + hex(a.Device) + "." + strconv.Itoa(int(a.Function))
}

// Config is configuration space. off is a multiple of 4 below 256. Reading
// where no function is gives all ones. Its methods may be called by several
// goroutines at once.
type Config interface {
	Read(a Address, off uint8) uint32
	Write(a Address, off uint8, v uint32)
}

// Ports of configuration mechanism 1 (PCI 3.2.2.3.2).
const (
	portAddress = 0xcf8
	portData    = 0xcfc
)

type portConfig struct {
	mu    sync.Mutex // an access takes two
	ports platform.Ports
}

// NewPortConfig returns configuration space by way of ports 0xcf8 and 0xcfc.
func NewPortConfig(p platform.Ports) Config { return &portConfig{ports: p} }

func (c *portConfig) Read(a Address, off uint8) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ports.Out32(portAddress, mechanism1(a, off))
	return c.ports.In32(portData)
}

func (c *portConfig) Write(a Address, off uint8, v uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ports.Out32(portAddress, mechanism1(a, off))
	c.ports.Out32(portData, v)
}

func mechanism1(a Address, off uint8) uint32 {
	return 1<<31 | uint32(a.Bus)<<16 | uint32(a.Device&31)<<11 | uint32(a.Function&7)<<8 | uint32(off&^3)
}
