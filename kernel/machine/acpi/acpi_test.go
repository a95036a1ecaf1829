package acpi_test

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
	"github.com/goshawk-os/goshawk/kernel/machine/phys"
)

// firmware lays out tables in a memory of its own, as a machine's firmware does.
type firmware struct {
	memory []byte
	next   int
}

func newFirmware() *firmware { return &firmware{memory: make([]byte, 0x4000), next: 0x100} }

func (f *firmware) view() phys.Memory {
	return phys.Memory{Base: uintptr(unsafe.Pointer(&f.memory[0])), Size: uint64(len(f.memory))}
}

// put adds a blob and returns its address.
func (f *firmware) put(b []byte) uint64 {
	at := f.next
	if copy(f.memory[at:], b) < len(b) {
		panic("the firmware's memory is full")
	}
	f.next += (len(b) + 15) &^ 15
	return uint64(at)
}

// table adds a table with a valid header.
func (f *firmware) table(signature string, body []byte) uint64 {
	b := append([]byte(signature), make([]byte, 32)...)
	b = append(b, body...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	b[9] = -sum(b)
	return f.put(b)
}

func sum(b []byte) (s byte) {
	for _, x := range b {
		s += x
	}
	return s
}

// rsdp adds an XSDT of the tables and a root pointer to it.
func (f *firmware) rsdp(tables ...uint64) uint64 {
	var entries []byte
	for _, t := range tables {
		entries = binary.LittleEndian.AppendUint64(entries, t)
	}
	xsdt := f.table("XSDT", entries)
	b := append([]byte("RSD PTR "), make([]byte, 28)...)
	b[15] = 2
	b[20] = 36
	binary.LittleEndian.PutUint64(b[24:], xsdt)
	b[8] = -sum(b[:20])
	b[32] = -sum(b)
	return f.put(b)
}

func le(parts ...any) (b []byte) {
	for _, p := range parts {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, p); err != nil {
			panic(err)
		}
	}
	return b
}

// Entries of the MADT.
func cpu(id byte, flags uint32) []byte { return le([]byte{0, 8, 0, id}, flags) }
func x2cpu(id, flags uint32) []byte    { return le([]byte{9, 16, 0, 0}, id, flags, uint32(0)) }
func ioapic(id byte, address, base uint32) []byte {
	return le([]byte{1, 12, id, 0}, address, base)
}
func override(bus, line byte, gsi uint32, flags uint16) []byte {
	return le([]byte{2, 10, bus, line}, gsi, flags)
}

func madt(entries ...[]byte) []byte {
	b := le(uint32(0xfee00000), uint32(0))
	for _, e := range entries {
		b = append(b, e...)
	}
	return b
}

// fadt is the body of a FADT of revision 6 with its DSDT.
func fadt(dsdt uint64) []byte {
	b := make([]byte, 276)
	binary.LittleEndian.PutUint32(b[40:], uint32(dsdt))
	return b[36:]
}

func read(f *firmware, rsdp uint64) (tables acpi.Tables, failure acpi.Failure) {
	return tables, acpi.Read(&tables, f.view(), rsdp)
}

func TestMADT(t *testing.T) {
	f := newFirmware()
	entries := [][]byte{
		cpu(4, 1), cpu(5, 0), cpu(6, 2), x2cpu(300, 1), x2cpu(4, 1), x2cpu(301, 0),
		ioapic(7, 0xfec00000, 0), ioapic(8, 0xfec10000, 24),
		override(0, 0, 2, 0), override(0, 9, 20, 0xf), override(0, 10, 10, 0xd),
		override(1, 3, 9, 0xf), override(0, 16, 9, 0xf),
		{4, 6, 0xff, 0, 0, 1},                          // local APIC NMI
		le([]byte{5, 12, 0, 0}, uint64(0x1_fee0_0000)), // local APIC address override
		{0x80, 3, 1}, // OEM
	}
	got, failure := read(f, f.rsdp(f.table("APIC", madt(entries...)), f.table("FACP", fadt(0))))
	require.Equal(t, acpi.OK, failure)
	assert.EqualValues(t, 0x1_fee0_0000, got.LocalAPIC)
	assert.Equal(t, []uint32{4, 300}, got.CPUs[:got.CPUCount])
	assert.Equal(t, []acpi.IOAPIC{{0xfec00000, 7, 0}, {0xfec10000, 8, 24}},
		got.IOAPICs[:got.IOAPICCount])
	assert.Equal(t, acpi.Interrupt{GSI: 2}, got.ISA[0])
	assert.Equal(t, acpi.Interrupt{GSI: 3}, got.ISA[3])
	assert.Equal(t, acpi.Interrupt{GSI: 20, ActiveLow: true, Level: true}, got.ISA[9])
	assert.Equal(t, acpi.Interrupt{GSI: 10, Level: true}, got.ISA[10])
	assert.False(t, got.HasPIC)
	assert.False(t, got.HasSleepTypes)
}

func TestManyOfAll(t *testing.T) {
	f := newFirmware()
	var entries [][]byte
	for i := range byte(acpi.MaxCPUs + 3) {
		entries = append(entries, cpu(i, 1))
	}
	for i := range byte(acpi.MaxIOAPICs + 2) {
		entries = append(entries, ioapic(i, 0xfec00000, 0))
	}
	got, failure := read(f, f.rsdp(f.table("APIC", madt(entries...)), f.table("FACP", fadt(0))))
	require.Equal(t, acpi.OK, failure)
	assert.Equal(t, acpi.MaxCPUs, got.CPUCount)
	assert.Equal(t, 3, got.CPUsIgnored)
	assert.Equal(t, acpi.MaxIOAPICs, got.IOAPICCount)
}

func TestRefuses(t *testing.T) {
	goodMADT := madt(cpu(0, 1))
	tests := []struct {
		name  string
		want  acpi.Failure
		build func(f *firmware) (rsdp uint64)
	}{
		{"nothing", acpi.NoRSDP, func(*firmware) uint64 { return 0 }},
		{"RSDP outside", acpi.BadRSDP, func(*firmware) uint64 { return 1 << 40 }},
		{"RSDP long", acpi.BadRSDP, func(f *firmware) uint64 {
			at := f.rsdp()
			f.memory[at+23], f.memory[at+32] = 0xff, f.memory[at+32]-0xff
			return at
		}},
		{"root table long", acpi.BadRootTable, func(f *firmware) uint64 {
			at := f.rsdp()
			xsdt := binary.LittleEndian.Uint64(f.memory[at+24:])
			f.memory[xsdt+7] = 0xff
			f.memory[xsdt+9]++
			return at
		}},
		{"empty root table", acpi.NoMADT, func(f *firmware) uint64 { return f.rsdp() }},
		{"entries outside", acpi.NoMADT, func(f *firmware) uint64 { return f.rsdp(0, 1<<63, 0x3fff) }},
		{"no FADT", acpi.BadFADT, func(f *firmware) uint64 { return f.rsdp(f.table("APIC", goodMADT)) }},
		{"short FADT", acpi.BadFADT, func(f *firmware) uint64 {
			return f.rsdp(f.table("APIC", goodMADT), f.table("FACP", make([]byte, 79)))
		}},
		{"no CPU", acpi.NoCPU, func(f *firmware) uint64 {
			return f.rsdp(f.table("APIC", madt(cpu(0, 0))), f.table("FACP", fadt(0)))
		}},
		{"short MADT", acpi.BadMADT, func(f *firmware) uint64 {
			return f.rsdp(f.table("APIC", make([]byte, 7)), f.table("FACP", fadt(0)))
		}},
		{"entry of no size", acpi.BadMADT, func(f *firmware) uint64 {
			return f.rsdp(f.table("APIC", madt(cpu(0, 1), []byte{0x80, 0})))
		}},
		{"entry of one byte", acpi.BadMADT, func(f *firmware) uint64 {
			return f.rsdp(f.table("APIC", madt(cpu(0, 1), []byte{0x80})))
		}},
		{"entry past the end", acpi.BadMADT, func(f *firmware) uint64 {
			return f.rsdp(f.table("APIC", madt(cpu(0, 1), []byte{0x80, 4, 0})))
		}},
	}
	for kind, size := range map[byte]int{0: 8, 1: 12, 2: 10, 5: 12, 9: 16} {
		tests = append(tests, struct {
			name  string
			want  acpi.Failure
			build func(f *firmware) (rsdp uint64)
		}{"short entry", acpi.BadMADT, func(f *firmware) uint64 {
			short := make([]byte, size-1)
			short[0], short[1] = kind, byte(size-1)
			return f.rsdp(f.table("APIC", madt(cpu(0, 1), short)))
		}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFirmware()
			rsdp := test.build(f)
			_, failure := read(f, rsdp)
			assert.Equal(t, test.want, failure, failure.String())
		})
	}
}

func TestFADT(t *testing.T) {
	f := newFirmware()
	body := fadt(0)
	field := func(offset int) []byte { return body[offset-36:] }
	copy(field(46), le(uint16(9)))
	copy(field(64), le(uint32(0x404), uint32(0x444)))
	copy(field(76), le(uint32(0x408)))
	field(91)[0] = 4
	field(108)[0] = 0x32
	copy(field(112), le(uint32(1<<8|1<<10)))
	copy(field(116), le([]byte{1, 8, 0, 1}, uint64(0x1_0cf9), byte(6)))
	copy(field(172), le([]byte{1, 16, 0, 2}, uint64(0x804)))
	copy(field(208), le([]byte{0, 32, 0, 3}, uint64(0xfed00000)))
	got, failure := read(f, f.rsdp(f.table("FACP", body), f.table("APIC", madt(cpu(0, 1)))))
	require.Equal(t, acpi.OK, failure)
	assert.EqualValues(t, 0x804, got.PM1aControl, "the extended field comes first")
	assert.EqualValues(t, 0x444, got.PM1bControl)
	assert.EqualValues(t, 0x408, got.PMTimer, "a timer in memory is not taken")
	assert.True(t, got.PMTimer32)
	assert.EqualValues(t, 9, got.SCI)
	assert.EqualValues(t, 0x32, got.Century)
	assert.Equal(t, acpi.Register{}, got.Reset, "a port beyond 16 bits")
}

func TestSleepTypes(t *testing.T) {
	const name = "_S5_"
	noise := "\x14\x0b_PTS\x01_S5_\x70\x08\\_S5_\x11_S5" // mentions that define nothing
	tests := []struct {
		name, aml string
		a, b      byte
		ok        bool
	}{
		{"QEMU microvm", "\x08" + name + "\x12\x07\x04\x0a\x05\x00\x00\x00", 5, 0, true},
		{"QEMU PC", "\x08" + name + "\x12\x06\x04\x00\x00\x00\x00", 0, 0, true},
		{"root", "\x08\\" + name + "\x12\x08\x04\x0a\x07\x0a\x06\x00\x00", 7, 6, true},
		{"ones", "\x08" + name + "\x12\x04\x02\x01\x01", 1, 1, true},
		{"words", "\x08" + name + "\x12\x0a\x02\x0b\x05\x00\x0c\x06\x00\x00\x00", 5, 6, true},
		{"long length", "\x08" + name + "\x12\x47\x00\x02\x0a\x05\x0a\x06", 5, 6, true},
		{"one element", "\x08" + name + "\x12\x05\x01\x0b\x05\x06", 5, 6, true},
		{"noise before", noise + "\x08" + name + "\x12\x06\x02\x0a\x05\x0a\x06", 5, 6, true},
		{"bad, then good", "\x08" + name + "\x12\x02\x02" + "\x08" + name + "\x12\x04\x02\x01\x01", 1, 1, true},
		{"noise", noise, 0, 0, false},
		{"no element", "\x08" + name + "\x12\x02\x00", 0, 0, false},
		{"not an integer", "\x08" + name + "\x12\x04\x02\x0d\x01", 0, 0, false},
		{"integer cut", "\x08" + name + "\x12\x04\x02\x00\x0a", 0, 0, false},
		{"length past the table", "\x08" + name + "\x12\x3f\x02\x01\x01", 0, 0, false},
		{"cut at the package", "\x08" + name + "\x12", 0, 0, false},
		{"cut at the length", "\x08" + name + "\x12\xc1", 0, 0, false},
		{"cut at the name", "\x08" + name, 0, 0, false},
		{"only the name", name, 0, 0, false},
		{"empty", "", 0, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, inSSDT := range []bool{false, true} {
				f := newFirmware()
				tables := []uint64{f.table("APIC", madt(cpu(0, 1)))}
				if inSSDT {
					tables = append(tables, f.table("SSDT", []byte("\x08_S4_\x12\x04\x02\x01\x01")),
						f.table("SSDT", []byte(test.aml)))
				}
				dsdt := f.table("DSDT", map[bool][]byte{false: []byte(test.aml)}[inSSDT])
				tables = append(tables, f.table("FACP", fadt(dsdt)))
				got, failure := read(f, f.rsdp(tables...))
				require.Equal(t, acpi.OK, failure)
				assert.Equal(t, test.ok, got.HasSleepTypes)
				assert.Equal(t, test.a, got.SleepTypeA)
				assert.Equal(t, test.b, got.SleepTypeB)
			}
		})
	}
}

// FuzzRead reads hostile tables whose checksums are right.
func FuzzRead(f *testing.F) {
	f.Add(madt(cpu(0, 1), ioapic(0, 1, 2)), fadt(0), []byte("\x08_S5_\x12\x04\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, m, fixed, aml []byte) {
		if len(m)+len(fixed)+len(aml) > 0x3000 {
			return
		}
		firmware := newFirmware()
		dsdt := firmware.table("DSDT", aml)
		if len(fixed) >= 8 {
			copy(fixed[40-36:], le(uint32(dsdt)))
		}
		tables, failure := read(firmware, firmware.rsdp(firmware.table("APIC", m),
			firmware.table("FACP", fixed)))
		if failure == acpi.OK && tables.CPUCount == 0 {
			t.Error("no CPU")
		}
	})
}
