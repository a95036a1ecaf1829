package pci

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	fake "github.com/goshawk-os/goshawk/drivers/internal/fakepci"
	"github.com/goshawk-os/goshawk/drivers/platform"
)

// function returns a fake function with an ID and all else zero.
func function(id uint32) *fake.Function {
	f := &fake.Function{}
	f.Words[cfgID/4] = id
	return f
}

func bridge(secondary uint32) *fake.Function {
	f := function(0x00018086)
	f.Words[cfgHeader/4] = headerBridge << 16
	f.Words[cfgBuses/4] = secondary << 8
	return f
}

func TestScan(t *testing.T) {
	multi := function(0x11111af4)
	multi.Words[cfgHeader/4] = headerMultifunction << 16
	multi.Words[cfgClass/4] = 0x02000001
	multi.Words[cfgSubsystem/4] = 0x0001abcd
	bus := fake.Bus{
		{0, 0, 0}:   function(0x12378086),
		{0, 0, 3}:   function(0x99991af4), // the device has one function
		{0, 2, 0}:   bridge(1),
		{0, 3, 0}:   multi,
		{0, 3, 5}:   function(0x22221af4),
		{0, 31, 0}:  bridge(0), // points back
		{1, 4, 0}:   function(0x33331af4),
		{1, 5, 0}:   bridge(1), // points to itself
		{1, 6, 0}:   bridge(255),
		{255, 0, 0}: function(0x44441af4),
		{7, 0, 0}:   function(0x55551af4), // no bridge leads there
	}
	var found []string
	list := Scan(NewPortConfig(&fake.Ports{Bus: bus}))
	for _, f := range list {
		found = append(found, f.Address.String())
	}
	assert.Equal(t, []string{"00:00.0", "01:04.0", "ff:00.0", "00:03.0", "00:03.5"}, found)
	assert.Equal(t, Function{
		Address: Address{0, 3, 0}, Vendor: 0x1af4, Device: 0x1111, Class: 0x020000, SubsystemID: 1, config: list[3].config,
	}, *list[3])
}

// one returns the only function of a machine.
func one(f *fake.Function) *Function {
	return Scan(NewPortConfig(&fake.Ports{Bus: fake.Bus{{0, 0, 0}: f}}))[0]
}

func TestMemoryBAR(t *testing.T) {
	const gib = 1 << 30
	tests := map[string]struct {
		low, high, maskLow, maskHigh uint32
		index                        int
		want                         BAR
		err                          error
	}{
		"32 bits":               {0xfebd1000, 0, 0xfffff000, 0, 0, BAR{0xfebd1000, 0x1000}, nil},
		"32 bits, the smallest": {0xfebd1010, 0, 0xfffffff0, 0, 0, BAR{0xfebd1010, 16}, nil},
		"64 bits":               {0xfe00000c, 0, 0xffffc00c, 0xffffffff, 2, BAR{0xfe000000, 0x4000}, nil},
		"64 bits, high":         {0x0000000c, 8, 0xffffc00c, 0xffffffff, 4, BAR{0x8_0000_0000, 0x4000}, nil},
		"64 bits, 8 GiB":        {0x0000000c, 8, 0x0000000c, 0xfffffffe, 0, BAR{0x8_0000_0000, 8 * gib}, nil},
		"none":                  {0, 0, 0, 0, 0, BAR{}, ErrBAR},
		"ports":                 {0xc001, 0, 0xffffffe1, 0, 0, BAR{}, ErrBAR},
		"64 bits, the last":     {0xfe00000c, 0, 0xffffc00c, 0xffffffff, 5, BAR{}, ErrBAR},
		"holes in the size":     {0xfe0d1000, 0, 0xff0ff000, 0, 0, BAR{}, ErrBAR},
		"no address":            {0, 0, 0xfffff000, 0, 0, BAR{}, ErrUnassigned},
		"index 6":               {0, 0, 0, 0, 6, BAR{}, ErrBAR},
		"index 7":               {0, 0, 0, 0, 7, BAR{}, ErrBAR},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			device := function(0x10411af4)
			device.Words[cfgCommand/4] = 0x0010_0007
			if test.index < 6 {
				device.SetBAR(test.index, test.low, test.maskLow)
				if test.index < 5 {
					device.SetBAR(test.index+1, test.high, test.maskHigh)
				}
			}
			before := device.Words
			f := one(device)
			got, err := f.MemoryBAR(test.index)
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.want, got)
			after := device.Words
			after[cfgCommand/4] |= before[cfgCommand/4] & (commandMemory | commandIO)
			assert.Equal(t, before, after, "the registers are as before, but for what Enable turns on")
			assert.False(t, device.Moved, "the size was read while the device answered")
			device.Words = [64]uint32{}
			again, err := f.MemoryBAR(test.index)
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, got, again, "read once")
			if err != nil {
				assert.Contains(t, err.Error(), "PCI device 00:00.0 (1af4:1041): ")
			}
		})
	}
}

func TestBARContains(t *testing.T) {
	b := BAR{0x1000, 0x100}
	assert.True(t, b.Contains(0, 0x100))
	assert.True(t, b.Contains(0x100, 0))
	assert.False(t, b.Contains(0x100, 1))
	assert.False(t, b.Contains(1, 0x100))
	assert.False(t, b.Contains(0xffffffffffffffff, 2))
}

func TestEnable(t *testing.T) {
	device := function(0x10411af4)
	device.Words[cfgCommand/4] = 0xf810_0001
	f := one(device)
	f.Enable()
	assert.Equal(t, uint32(0xf810_0407), device.Words[cfgCommand/4], "status bits, which clear when 1 is written, stay")
	f.Disable()
	assert.Equal(t, uint32(0xf810_0401), device.Words[cfgCommand/4])
}

func TestCapabilities(t *testing.T) {
	device := function(0x10411af4)
	f := one(device)
	device.Words[cfgCapabilities/4] = 0x40
	list, err := f.Capabilities()
	require.NoError(t, err)
	assert.Empty(t, list, "the status bit is off")

	device.Words[cfgCommand/4] = statusCapabilities
	device.Words[0x40/4] = 0x5011
	device.Words[0x50/4] = 0xfe09 // the low bits are reserved
	device.Words[0xfc/4] = 0x0001
	list, err = f.Capabilities()
	require.NoError(t, err)
	assert.Equal(t, []Capability{{0x11, 0x40}, {0x09, 0x50}, {0x01, 0xfc}}, list)

	for name, next := range map[string]uint32{"itself": 0xfc01, "the first": 0x4001, "the header": 0x3c01} {
		device.Words[0xfc/4] = next
		_, err = f.Capabilities()
		assert.ErrorIs(t, err, ErrCapabilities, name)
	}
}

// withMSIX returns a function with a table of 3 vectors at 0x800 of BAR 1.
func withMSIX() (*fake.Function, fake.Mapper) {
	device := function(0x10411af4)
	device.Words[cfgCommand/4] = statusCapabilities
	device.Words[cfgCapabilities/4] = 0x98
	device.Words[0x98/4] = 2<<16 | 0x11
	device.Words[0x9c/4] = 0x800 | 1
	device.SetBAR(1, 0xfebd0000, 0xfffff000)
	return device, fake.Mapper{0xfebd0800: make(fake.Registers, 48)}
}

func TestMSIX(t *testing.T) {
	device, mapper := withMSIX()
	x, err := one(device).MSIX(mapper)
	require.NoError(t, err)
	assert.Equal(t, 3, x.Size())
	x.Enable([]platform.Message{{Addr: 0x1_fee0_1000, Data: 0x41}, {Addr: 0xfee0_2000, Data: 0x42}})
	table := mapper[0xfebd0800].(fake.Registers)
	var words []uint32
	for off := uintptr(0); off < 48; off += 4 {
		words = append(words, table.Load32(off))
	}
	assert.Equal(t, []uint32{0xfee01000, 1, 0x41, 0, 0xfee02000, 0, 0x42, 0, 0, 0, 0, 1}, words)
	assert.Equal(t, uint32(msixEnable|2<<16|0x11), device.Words[0x98/4], "on, not masked")
}

func TestMSIXBroken(t *testing.T) {
	tests := map[string]struct {
		breakIt func(f *fake.Function, m fake.Mapper)
		want    error
	}{
		"none":               {func(f *fake.Function, m fake.Mapper) { f.Words[0x98/4] = 0x05 }, ErrNoMSIX},
		"capability cut off": {func(f *fake.Function, m fake.Mapper) { f.Words[0x98/4] = 0xf805; f.Words[0xf8/4] = 0x11 }, ErrNoMSIX},
		"list broken":        {func(f *fake.Function, m fake.Mapper) { f.Words[0x98/4] = 0x9805 }, ErrCapabilities},
		"BAR 7":              {func(f *fake.Function, m fake.Mapper) { f.Words[0x9c/4] = 7 }, ErrBAR},
		"table too long":     {func(f *fake.Function, m fake.Mapper) { f.Words[0x98/4] = 0x7ff<<16 | 0x11 }, ErrMSIXTable},
		"table too far":      {func(f *fake.Function, m fake.Mapper) { f.Words[0x9c/4] = 0xfffffff8 | 1 }, ErrMSIXTable},
		"cannot be mapped":   {func(f *fake.Function, m fake.Mapper) { delete(m, 0xfebd0800) }, fake.ErrMap},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			device, mapper := withMSIX()
			test.breakIt(device, mapper)
			_, err := one(device).MSIX(mapper)
			assert.ErrorIs(t, err, test.want)
		})
	}
}
