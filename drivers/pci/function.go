package pci

import (
	"errors"
	"strconv"
)

// Configuration header (PCI 6.1), by the dword that holds the field.
const (
	cfgID           = 0x00 // vendor, device
	cfgCommand      = 0x04 // command, status
	cfgClass        = 0x08 // revision, class code
	cfgHeader       = 0x0c // bits 16-23: header type
	cfgBAR          = 0x10
	cfgBuses        = 0x18 // of a bridge (PCI-to-PCI Bridge 3.2.5): bits 8-15 secondary bus
	cfgSubsystem    = 0x2c // vendor, ID
	cfgCapabilities = 0x34

	commandIO        = 1 << 0
	commandMemory    = 1 << 1
	commandBusMaster = 1 << 2
	commandNoINTx    = 1 << 10
	commandMask      = 0xffff // the status bits beside it clear when 1 is written

	statusCapabilities = 1 << (16 + 4)

	headerMultifunction = 1 << 7
	headerBridge        = 1
)

// Kinds of errors, wrapped in an Error.
var (
	// ErrBAR says that the device has no memory behind a base address register.
	ErrBAR = errors.New("the base address register describes no memory")
	// ErrUnassigned says that the firmware gave the memory no address.
	ErrUnassigned = errors.New("the firmware has assigned no address to the base address register")
	// ErrCapabilities says that the capability list never ends or leaves its range.
	ErrCapabilities = errors.New("the capability list is damaged")
	// ErrNoMSIX says that the device lacks MSI-X.
	ErrNoMSIX = errors.New("the device has no MSI-X; in QEMU, give it vectors=N")
	// ErrMSIXTable says that the MSI-X table lies outside its memory.
	ErrMSIXTable = errors.New("the MSI-X table does not lie in the device's memory")
)

// An Error says what is wrong with a function.
type Error struct {
	Address        Address
	Vendor, Device uint16
	Err            error
}

func (e *Error) Error() string {
	return "PCI device " + e.Address.String() + " (" + strconv.FormatUint(uint64(e.Vendor), 16) + ":" +
		strconv.FormatUint(uint64(e.Device), 16) + "): " + e.Err.Error()
}

// Unwrap returns the kind of the error.
func (e *Error) Unwrap() error { return e.Err }

// A Function is one function of a PCI device, as Scan found it.
type Function struct {
	Address        Address
	Vendor, Device uint16
	Class          uint32 // class code in 24 bits: base class, subclass, interface
	SubsystemID    uint16

	config Config
	bars   [6]struct { // what MemoryBAR has found
		bar BAR
		err error
	}
}

// Read reads the function's configuration space at off, a multiple of 4.
func (f *Function) Read(off uint8) uint32 { return f.config.Read(f.Address, off) }

// Write writes the function's configuration space at off, a multiple of 4.
func (f *Function) Write(off uint8, v uint32) { f.config.Write(f.Address, off, v) }

// wrap joins the kind of an error and what is known of the function.
func (f *Function) wrap(err error) error { return &Error{f.Address, f.Vendor, f.Device, err} }

// Scan returns the functions on bus 0 and on all buses that firmware has put
// behind its bridges, bridges left out, in the order of the scan.
func Scan(c Config) []*Function {
	s := scanner{config: c}
	s.bus(0)
	return s.found
}

type scanner struct {
	config Config
	seen   [256]bool // buses; bridges may claim what they like
	found  []*Function
}

func (s *scanner) bus(bus uint8) {
	if s.seen[bus] {
		return
	}
	s.seen[bus] = true
	for device := range uint8(32) {
		functions := uint8(1)
		for function := uint8(0); function < functions; function++ {
			a := Address{bus, device, function}
			id := s.config.Read(a, cfgID)
			if id&0xffff == 0xffff { // no function (PCI 6.1)
				continue
			}
			header := s.config.Read(a, cfgHeader) >> 16
			if function == 0 && header&headerMultifunction != 0 {
				functions = 8
			}
			switch header & 0x7f {
			case headerBridge:
				s.bus(uint8(s.config.Read(a, cfgBuses) >> 8))
			case 0:
				s.found = append(s.found, &Function{
					Address:     a,
					Vendor:      uint16(id),
					Device:      uint16(id >> 16),
					Class:       s.config.Read(a, cfgClass) >> 8,
					SubsystemID: uint16(s.config.Read(a, cfgSubsystem) >> 16),
					config:      s.config,
				})
			}
		}
	}
}

// Enable lets the function answer to memory accesses and use memory itself,
// and turns its interrupt pin off.
func (f *Function) Enable() {
	command := f.Read(cfgCommand) & commandMask
	f.Write(cfgCommand, command|commandMemory|commandBusMaster|commandNoINTx)
}

// Disable ends what Enable began.
func (f *Function) Disable() {
	command := f.Read(cfgCommand) & commandMask
	f.Write(cfgCommand, command&^(commandMemory|commandBusMaster))
}

// A BAR is a range of device memory.
type BAR struct {
	Addr, Size uint64
}

// Contains reports whether the range of size bytes at off lies within the BAR.
func (b BAR) Contains(off, size uint64) bool {
	return off <= b.Size && size <= b.Size-off
}

// MemoryBAR returns the memory behind a base address register, 0 to 5 (PCI
// 6.2.5.1). The function must not be in use: it answers no accesses to memory or
// ports from then on until Enable.
func (f *Function) MemoryBAR(index int) (BAR, error) {
	if index < 0 || index >= len(f.bars) {
		return BAR{}, f.wrap(ErrBAR)
	}
	// Capabilities share base address registers, and each access is an exit.
	b := &f.bars[index]
	if b.bar == (BAR{}) && b.err == nil {
		b.bar, b.err = f.readBAR(index)
	}
	return b.bar, b.err
}

func (f *Function) readBAR(index int) (BAR, error) {
	off := uint8(cfgBAR + 4*index)
	low := f.Read(off)
	wide := low&6 == 4
	if low&1 != 0 || wide && index == 5 {
		return BAR{}, f.wrap(ErrBAR)
	}

	if command := f.Read(cfgCommand) & commandMask; command&(commandMemory|commandIO) != 0 {
		f.Write(cfgCommand, command&^(commandMemory|commandIO))
	}
	size := func(off uint8) (value, mask uint32) {
		value = f.Read(off)
		f.Write(off, ^uint32(0))
		mask = f.Read(off)
		f.Write(off, value)
		return value, mask
	}
	value, mask := size(off)
	addr, sizes := uint64(value&^0xf), uint64(mask&^0xf)
	if wide {
		value, mask = size(off + 4)
		addr |= uint64(value) << 32
		sizes |= uint64(mask) << 32
	} else {
		sizes |= 0xffffffff << 32
	}

	// What remains is ones down to the size: 2^n = -mask.
	n := -sizes
	if sizes == 0 || uint32(sizes) == 0 && !wide || n&(n-1) != 0 {
		return BAR{}, f.wrap(ErrBAR)
	}
	if addr == 0 {
		return BAR{}, f.wrap(ErrUnassigned)
	}
	if addr+n-1 < addr {
		return BAR{}, f.wrap(ErrBAR)
	}
	return BAR{addr, n}, nil
}

// A Capability is an entry of the capability list (PCI 6.7).
type Capability struct {
	ID     uint8
	Offset uint8 // in configuration space, a multiple of 4
}

// Capabilities returns the capability list.
func (f *Function) Capabilities() ([]Capability, error) {
	if f.Read(cfgCommand)&statusCapabilities == 0 {
		return nil, nil
	}
	var list []Capability
	at := uint8(f.Read(cfgCapabilities)) &^ 3
	for at != 0 {
		// 48 capabilities of 4 bytes fit behind the header.
		if at < 0x40 || len(list) == 48 {
			return nil, f.wrap(ErrCapabilities)
		}
		head := f.Read(at)
		list = append(list, Capability{ID: uint8(head), Offset: at})
		at = uint8(head>>8) &^ 3
	}
	return list, nil
}
