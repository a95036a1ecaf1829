package acpi_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
	"github.com/goshawk-os/goshawk/kernel/machine/phys"
	"github.com/goshawk-os/goshawk/kernel/machine/pvh"
)

// load maps the memory of a guest from testdata and returns it with the address of its start info.
func load(t *testing.T, name string) (memory phys.Memory, content []byte, start uint64) {
	t.Helper()
	content, err := syscall.Mmap(-1, 0, 64<<20, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, syscall.Munmap(content)) })

	dump, err := os.ReadFile("testdata/" + name + ".dump")
	require.NoError(t, err)
	for len(dump) > 0 {
		address, n := binary.LittleEndian.Uint64(dump), binary.LittleEndian.Uint32(dump[8:])
		require.EqualValues(t, n, copy(content[address:], dump[12:12+n]))
		dump = dump[12+n:]
	}

	starts, err := os.Open("testdata/starts.txt")
	require.NoError(t, err)
	defer starts.Close()
	for lines := bufio.NewScanner(starts); lines.Scan(); {
		if line, found := strings.CutPrefix(lines.Text(), name+" "); found {
			_, err := fmt.Sscanf(line, "0x%x", &start)
			require.NoError(t, err)
		}
	}
	require.NotZero(t, start)
	return phys.Memory{Base: uintptr(unsafe.Pointer(&content[0])), Size: 64 << 20}, content, start
}

func boot(t *testing.T, name string) (memory phys.Memory, info pvh.Info) {
	t.Helper()
	memory, content, start := load(t, name)
	failure := pvh.Read(&info, memory, start)
	require.Equal(t, pvh.OK, failure, failure.String())
	require.Equal(t, "console=framed -- a%20b",
		string(content[info.CommandLine:][:info.CommandLineSize]))
	ram := uint64(0)
	for _, r := range info.Regions[:info.RegionCount] {
		if r.Type == pvh.RAM {
			ram += r.Size
		}
	}
	require.InDelta(t, 64<<20, float64(ram), 2<<20)
	return memory, info
}

func tables(t *testing.T, name string) (tables acpi.Tables, info pvh.Info) {
	t.Helper()
	memory, info := boot(t, name)
	require.NotZero(t, info.RSDP)
	failure := acpi.Read(&tables, memory, info.RSDP)
	require.Equal(t, acpi.OK, failure, failure.String())

	var found acpi.Tables
	require.Equal(t, info.RSDP, acpi.Find(memory))
	require.Equal(t, acpi.OK, acpi.Read(&found, memory, 0))
	require.Equal(t, tables, found, "found by searching")
	return tables, info
}

// pcISA is how QEMU routes the ISA interrupts of its PCs.
func pcISA() (isa [acpi.ISALines]acpi.Interrupt) {
	for i := range isa {
		isa[i].GSI = uint32(i)
	}
	isa[0].GSI = 2
	for _, i := range []int{5, 9, 10, 11} {
		isa[i].Level = true
	}
	return isa
}

func TestMicrovm(t *testing.T) {
	got, info := tables(t, "microvm")
	require.Equal(t, 1, info.ModuleCount)
	assert.EqualValues(t, 3000, info.Modules[0].Size)

	assert.EqualValues(t, 0xfee00000, got.LocalAPIC)
	assert.Equal(t, []uint32{0, 1}, got.CPUs[:got.CPUCount])
	assert.Equal(t, []acpi.IOAPIC{{0xfec00000, 0, 0}, {0xfec10000, 1, 24}},
		got.IOAPICs[:got.IOAPICCount])
	assert.True(t, got.HardwareReduced)
	// hw/i386/acpi-microvm.c: registers of the generic event device at 0xfea00200.
	assert.Equal(t, acpi.Register{Space: acpi.MemorySpace, Address: 0xfea00200}, got.SleepControl)
	assert.Equal(t, acpi.Register{Space: acpi.MemorySpace, Address: 0xfea00202}, got.Reset)
	assert.EqualValues(t, 0x42, got.ResetValue)
	assert.True(t, got.HasSleepTypes)
	assert.EqualValues(t, 5, got.SleepTypeA)
	assert.EqualValues(t, 0x34, acpi.SleepControlSleep(got.SleepTypeA))
	assert.Zero(t, got.PMTimer)
	assert.Zero(t, got.PM1aControl)
}

func TestMicrovmWithoutACPI(t *testing.T) {
	memory, info := boot(t, "microvm-noacpi")
	assert.Zero(t, info.RSDP)
	var got acpi.Tables
	assert.Equal(t, acpi.NoRSDP, acpi.Read(&got, memory, info.RSDP))
}

func TestQ35(t *testing.T) {
	got, _ := tables(t, "q35")
	assert.EqualValues(t, 0xfee00000, got.LocalAPIC)
	assert.Equal(t, []uint32{0, 1, 2, 3}, got.CPUs[:got.CPUCount])
	assert.Equal(t, []acpi.IOAPIC{{Address: 0xfec00000}}, got.IOAPICs[:got.IOAPICCount])
	assert.Equal(t, pcISA(), got.ISA)
	assert.True(t, got.HasPIC)
	assert.False(t, got.HardwareReduced)
	assert.EqualValues(t, 9, got.SCI)
	assert.EqualValues(t, 0x604, got.PM1aControl)
	assert.Zero(t, got.PM1bControl)
	assert.EqualValues(t, 0x608, got.PMTimer)
	assert.EqualValues(t, 0x32, got.Century)
	assert.Equal(t, acpi.Register{Space: acpi.PortSpace, Address: 0xcf9}, got.Reset)
	assert.EqualValues(t, 0xf, got.ResetValue)
	assert.Equal(t, acpi.Register{}, got.SleepControl)
	assert.True(t, got.HasSleepTypes)
	assert.EqualValues(t, 0x2000, acpi.PM1Sleep(got.SleepTypeA))
}

func TestPC(t *testing.T) {
	got, _ := tables(t, "pc")
	assert.Equal(t, []uint32{0}, got.CPUs[:got.CPUCount])
	assert.Equal(t, pcISA(), got.ISA)
	assert.EqualValues(t, 0x604, got.PM1aControl)
	assert.EqualValues(t, 0x608, got.PMTimer)
	assert.True(t, got.HasPIC)
	assert.Equal(t, acpi.Register{}, got.Reset, "a FADT of revision 1 has none")
	assert.True(t, got.HasSleepTypes)
	assert.Zero(t, got.SleepTypeA)
}

// TestDamage flips every byte of all tables, one at a time: each must be noticed or leave the
// result as it is, and none may be read out of bounds.
func TestDamage(t *testing.T) {
	for _, name := range []string{"microvm", "pc"} {
		memory, content, start := load(t, name)
		var info pvh.Info
		require.Equal(t, pvh.OK, pvh.Read(&info, memory, start))
		var good acpi.Tables
		require.Equal(t, acpi.OK, acpi.Read(&good, memory, info.RSDP))
		dump, err := os.ReadFile("testdata/" + name + ".dump")
		require.NoError(t, err)
		noticed := 0
		for len(dump) > 0 {
			address, n := binary.LittleEndian.Uint64(dump), binary.LittleEndian.Uint32(dump[8:])
			dump = dump[12+n:]
			for i := range uint64(n) {
				content[address+i] ^= 0x41
				var got acpi.Tables
				if acpi.Read(&got, memory, info.RSDP) != acpi.OK {
					noticed++
				} else if got.HasSleepTypes {
					require.Equal(t, good, got, "%s: byte at %#x", name, address+i)
				}
				content[address+i] ^= 0x41
			}
		}
		assert.Greater(t, noticed, 200)
	}
}
