package pci

import "github.com/goshawk-os/goshawk/drivers/platform"

// MSI-X capability and table (PCI 6.8.2).
const (
	capabilityMSIX = 0x11

	msixTable = 4 // dword of the capability; bits 0-2: BAR, rest: offset

	// In the capability's first dword; bits 16-26 are the table's size - 1.
	msixEnable = 1 << 31
	msixMask   = 1 << 30

	entrySize    = 16
	entryAddr    = 0
	entryAddrTop = 4
	entryData    = 8
	entryControl = 12 // bit 0: masked
)

// MSIX is the MSI-X table of a function.
type MSIX struct {
	f     *Function
	at    uint8 // of the capability
	table platform.Registers
	size  int
}

// MSIX maps the function's MSI-X table. The error's kind is ErrNoMSIX if it
// has none.
func (f *Function) MSIX(m platform.Mapper) (*MSIX, error) {
	list, err := f.Capabilities()
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.ID != capabilityMSIX || c.Offset > 0x100-12 {
			continue
		}
		size := int(f.Read(c.Offset)>>16&0x7ff) + 1
		where := f.Read(c.Offset + msixTable)
		bar, err := f.MemoryBAR(int(where & 7))
		if err != nil {
			return nil, err
		}
		off := uint64(where &^ 7)
		if !bar.Contains(off, uint64(size)*entrySize) {
			return nil, f.wrap(ErrMSIXTable)
		}
		table, err := m.Map(bar.Addr+off, uint64(size)*entrySize)
		if err != nil {
			return nil, f.wrap(err)
		}
		return &MSIX{f, c.Offset, table, size}, nil
	}
	return nil, f.wrap(ErrNoMSIX)
}

// Size returns the number of vectors.
func (x *MSIX) Size() int { return x.size }

// Enable makes vector i send messages[i] and all others nothing. The function
// must be enabled. There are at most Size messages.
func (x *MSIX) Enable(messages []platform.Message) {
	control := x.f.Read(x.at) | msixEnable
	x.f.Write(x.at, control|msixMask)
	for i := range x.size {
		entry := uintptr(i * entrySize)
		if i >= len(messages) {
			x.table.Store32(entry+entryControl, 1)
			continue
		}
		x.table.Store32(entry+entryAddr, uint32(messages[i].Addr))
		x.table.Store32(entry+entryAddrTop, uint32(messages[i].Addr>>32))
		x.table.Store32(entry+entryData, messages[i].Data)
		x.table.Store32(entry+entryControl, 0)
	}
	x.f.Write(x.at, control&^msixMask)
}
