package acpi_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
)

// slots reads the devices of a DSDT with this AML.
func slots(aml []byte) []acpi.VirtioSlot {
	f := newFirmware()
	var got acpi.VirtioSlots
	got.Count = 7 // of an earlier table
	acpi.ReadVirtioSlots(&got, f.view(), f.table("DSDT", aml))
	return got.Slots[:got.Count]
}

// virtioAML is the body of the table that QEMU gave a microvm with two devices.
func virtioAML(t testing.TB) []byte {
	table, err := os.ReadFile("testdata/virtio.aml")
	require.NoError(t, err)
	require.Zero(t, sum(table))
	return table[36:]
}

func TestVirtioSlots(t *testing.T) {
	want := []acpi.VirtioSlot{
		{Address: 0xfeb02e00, Size: 512, GSI: 47},
		{Address: 0xfeb02c00, Size: 512, GSI: 46},
	}
	assert.Equal(t, want, slots(virtioAML(t)))

	// The address is in the FADT that Read was given.
	got, info := tables(t, "microvm")
	memory, _ := boot(t, "microvm")
	var none acpi.VirtioSlots
	acpi.ReadVirtioSlots(&none, memory, got.DSDT)
	assert.NotZero(t, got.DSDT)
	assert.Zero(t, none.Count, "the machine of the dump has no devices")
	assert.NotZero(t, info.RSDP)
}

func TestVirtioSlotsDamaged(t *testing.T) {
	f := newFirmware()
	table := f.table("DSDT", virtioAML(t))
	var got acpi.VirtioSlots
	acpi.ReadVirtioSlots(&got, f.view(), table)
	require.Equal(t, 2, got.Count)
	f.memory[table+50] ^= 1
	acpi.ReadVirtioSlots(&got, f.view(), table)
	assert.Zero(t, got.Count, "a wrong checksum")
	acpi.ReadVirtioSlots(&got, f.view(), 0)
	assert.Zero(t, got.Count, "no table")
	acpi.ReadVirtioSlots(&got, f.view(), uint64(len(f.memory)-8))
	assert.Zero(t, got.Count, "a table at the end of memory")
}

// TestVirtioSlotsHostile gives the table every length and every wrong byte: what is read stays in the
// table, and no device comes out that is not in it.
func TestVirtioSlotsHostile(t *testing.T) {
	good := virtioAML(t)
	for n := range good {
		assert.LessOrEqual(t, len(slots(good[:n])), 2)
	}
	for i := range good {
		for _, wrong := range []byte{0x00, 0x0f, 0x3f, 0x41, 0x79, 0x86, 0x89, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= wrong
			assert.LessOrEqual(t, len(slots(bad)), 2)
		}
	}
	// The interrupt of the second device does not become the first one's.
	bad := bytes.Clone(good)
	first := bytes.Index(bad, []byte("LNRO0005"))
	bad[first+bytes.Index(bad[first:], []byte{0x89, 6, 0})] = 0x8a
	assert.Equal(t, []acpi.VirtioSlot{{Address: 0xfeb02c00, Size: 512, GSI: 46}}, slots(bad))
	// More devices than there is room for.
	one := device(le([]byte{0x86, 9, 0, 1}, uint32(0xfeb00000), uint32(512), []byte{0x89, 6, 0, 1, 1}, uint32(5), []byte{0x79, 0}))
	assert.Equal(t, []acpi.VirtioSlot{{Address: 0xfeb00000, Size: 512, GSI: 5}}, slots(one))
	assert.Len(t, slots(bytes.Repeat(one, 100)), acpi.MaxVirtioSlots)
}

// device returns the names of a device with these resources.
func device(resources []byte) []byte {
	aml := append([]byte("\x08_HID\x0dLNRO0005\x00\x08_CRS\x11"), byte(3+len(resources)), 0x0a, byte(len(resources)))
	return append(aml, resources...)
}

func FuzzVirtioSlots(f *testing.F) {
	f.Add(virtioAML(f))
	f.Add(device([]byte{0x86, 0xff, 0xff}))
	f.Fuzz(func(t *testing.T, aml []byte) {
		if len(aml) > 0x3000 {
			return
		}
		for _, s := range slots(aml) {
			if s.Size == 0 || !bytes.Contains(aml, binary.LittleEndian.AppendUint32(nil, uint32(s.Address))) ||
				!bytes.Contains(aml, binary.LittleEndian.AppendUint32(nil, s.GSI)) {
				t.Errorf("%+v is not in the table", s)
			}
		}
	})
}
