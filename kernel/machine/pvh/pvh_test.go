package pvh_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/goshawk-os/goshawk/kernel/machine/phys"
	"github.com/goshawk-os/goshawk/kernel/machine/pvh"
)

// Where build puts the structures.
const (
	startAt   = 0x100
	modulesAt = 0x200
	regionsAt = 0x400
	lineAt    = 0x1800
	memSize   = 0x2000
)

type start struct {
	Magic, Version, Flags, Modules uint32
	ModuleList, CommandLine, RSDP  uint64
	MemoryMap                      uint64
	MemoryMapEntries, Reserved     uint32
}

type module struct{ Address, Size, CommandLine, Reserved uint64 }

type region struct {
	Address, Size  uint64
	Type, Reserved uint32
}

func good() (start, []module, []region, string) {
	s := start{Magic: 0x336ec578, Version: 1, Modules: 1, ModuleList: modulesAt, CommandLine: lineAt,
		RSDP: 0xf1234, MemoryMap: regionsAt, MemoryMapEntries: 2}
	m := []module{{Address: 0x7000, Size: 3000, CommandLine: 0x99}}
	r := []region{{0, 0x9fc00, 1, 0}, {0x1_0000_0000, 0x4000_0000, 1, 0}}
	return s, m, r, "a -- b\x00"
}

func build(s start, modules []module, regions []region, line string) []byte {
	memory := make([]byte, memSize)
	put := func(at int, v any) {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
		copy(memory[at:], b.Bytes())
	}
	put(startAt, s)
	put(modulesAt, modules)
	put(regionsAt, regions)
	copy(memory[lineAt:], line)
	return memory
}

func read(info *pvh.Info, memory []byte) pvh.Failure {
	m := phys.Memory{Base: uintptr(unsafe.Pointer(&memory[0])), Size: uint64(len(memory))}
	return pvh.Read(info, m, startAt)
}

func TestRead(t *testing.T) {
	var info pvh.Info
	assert.Equal(t, pvh.OK, read(&info, build(good())))
	assert.EqualValues(t, 0xf1234, info.RSDP)
	assert.EqualValues(t, lineAt, info.CommandLine)
	assert.EqualValues(t, 6, info.CommandLineSize)
	assert.Equal(t, []pvh.Region{{0, 0x9fc00, pvh.RAM}, {0x1_0000_0000, 0x4000_0000, pvh.RAM}},
		info.Regions[:info.RegionCount])
	assert.Equal(t, []pvh.Module{{0x7000, 3000, 0x99}}, info.Modules[:info.ModuleCount])
}

func TestReadWithout(t *testing.T) {
	s, _, r, _ := good()
	s.Modules, s.ModuleList, s.CommandLine = 0, 0, 0
	var info pvh.Info
	assert.Equal(t, pvh.OK, read(&info, build(s, nil, r, "")))
	assert.Zero(t, info.ModuleCount)
	assert.Zero(t, info.CommandLine)
	assert.Zero(t, info.CommandLineSize)
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name  string
		want  pvh.Failure
		spoil func(s *start, m []module, r []region)
	}{
		{"magic", pvh.BadMagic, func(s *start, _ []module, _ []region) { s.Magic++ }},
		{"version 0", pvh.NoMemoryMap, func(s *start, _ []module, _ []region) { s.Version = 0 }},
		{"no map", pvh.NoMemoryMap, func(s *start, _ []module, _ []region) { s.MemoryMapEntries = 0 }},
		{"map at 0", pvh.NoMemoryMap, func(s *start, _ []module, _ []region) { s.MemoryMap = 0 }},
		{"many regions", pvh.TooManyRegions,
			func(s *start, _ []module, _ []region) { s.MemoryMapEntries = pvh.MaxRegions + 1 }},
		{"map outside", pvh.OutOfMemoryMap,
			func(s *start, _ []module, _ []region) { s.MemoryMap = memSize - 47 }},
		{"map wraps", pvh.OutOfMemoryMap,
			func(s *start, _ []module, _ []region) { s.MemoryMap = 1<<64 - 24 }},
		{"region wraps", pvh.BadRegion,
			func(_ *start, _ []module, r []region) { r[1].Size = 1<<64 - 1 }},
		{"many modules", pvh.TooManyModules,
			func(s *start, _ []module, _ []region) { s.Modules = pvh.MaxModules + 1 }},
		{"modules outside", pvh.OutOfMemoryMap,
			func(s *start, _ []module, _ []region) { s.ModuleList = memSize - 31 }},
		{"module wraps", pvh.BadModule,
			func(_ *start, m []module, _ []region) { m[0].Address = 1<<64 - 1 }},
		{"line outside", pvh.OutOfMemoryMap,
			func(s *start, _ []module, _ []region) { s.CommandLine = memSize }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, m, r, line := good()
			test.spoil(&s, m, r)
			var info pvh.Info
			got := read(&info, build(s, m, r, line))
			assert.Equal(t, test.want, got, got.String())
		})
	}
}

func TestReadUnterminatedLine(t *testing.T) {
	s, m, r, _ := good()
	memory := append(build(s, m, r, ""), bytes.Repeat([]byte{'a'}, pvh.MaxCommandLine)...)
	for i := lineAt; i < memSize; i++ {
		memory[i] = 'a'
	}
	var info pvh.Info
	assert.Equal(t, pvh.UnterminatedCommandLine, read(&info, memory))
	assert.Equal(t, pvh.OutOfMemoryMap, read(&info, memory[:memSize]))
}

func TestReadOutside(t *testing.T) {
	s, m, r, line := good()
	memory := build(s, m, r, line)
	var info pvh.Info
	for size := range startAt + 56 {
		view := phys.Memory{Base: uintptr(unsafe.Pointer(&memory[0])), Size: uint64(size)}
		assert.Equal(t, pvh.OutOfMemoryMap, pvh.Read(&info, view, startAt))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(build(good())[startAt:])
	f.Fuzz(func(t *testing.T, tail []byte) {
		memory := append(make([]byte, startAt), tail...)
		var info pvh.Info
		if read(&info, memory) != pvh.OK {
			return
		}
		for _, r := range info.Regions[:info.RegionCount] {
			assert.GreaterOrEqual(t, r.Address+r.Size, r.Address)
		}
		assert.LessOrEqual(t, info.CommandLine+info.CommandLineSize, uint64(len(memory)))
	})
}
