package qemu_test

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/boot/image"
	"github.com/goshawk-os/goshawk/qemu"
)

// TestZero runs a program whose variables are larger than the machine's memory.
func TestZero(t *testing.T) {
	b := build(t, "./guest/zero")
	const want = "all as it should be\n"
	output, status := runNative(t, b.native, "", nil, nil)
	assert.Equal(t, want, output)
	assert.Zero(t, status)
	// The module lies where the linker has put variables.
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), make([]byte, 1<<20), 0o644))
	tar := filepath.Join(t.TempDir(), "tar")
	file, err := os.Create(tar)
	require.NoError(t, err)
	require.NoError(t, image.WriteTar(file, root, image.TarOptions{}))
	require.NoError(t, file.Close())
	for _, kind := range qemu.Kinds {
		for _, cpus := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				r := qemu.Run(t, b.image, qemu.On(kind), qemu.CPUs(cpus), qemu.Memory(32*qemu.MiB), qemu.Module(tar, "/data"))
				require.NoError(t, r.Err)
				assert.Equal(t, want, r.Console)
				assert.Zero(t, r.Status)
			})
		}
	}
}

// TestNucleusHasItsMemory: all variables of the nucleus and of the runtime are memory that the loader
// provides. boot/image relies on how the Go linker sorts variables.
func TestNucleusHasItsMemory(t *testing.T) {
	f, err := elf.Open(build(t, "./guest/zero").image)
	require.NoError(t, err)
	defer f.Close()
	i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == image.PTZero })
	require.GreaterOrEqual(t, i, 0)
	zero := f.Progs[i]
	symbols, err := f.Symbols()
	require.NoError(t, err)
	own, behind := 0, 0
	for _, s := range symbols {
		if int(s.Section) >= len(f.Sections) || f.Sections[s.Section].Flags&elf.SHF_WRITE == 0 || s.Size == 0 {
			continue
		}
		late := s.Value+s.Size > zero.Vaddr
		switch name, _, _ := strings.Cut(s.Name, "."); {
		case slices.ContainsFunc([]string{"goshawk/kernel/nucleus", "goshawk/kernel/machine", "goshawk/kernel/cmdline",
			"goshawk/arch", "runtime", "internal"}, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") }):
			own++
			assert.False(t, late, "%s, %d bytes, lies behind what the loader provides", s.Name, s.Size)
		case late:
			behind++
		}
	}
	assert.Greater(t, own, 100)
	assert.GreaterOrEqual(t, behind, 3, "variables that get memory when touched")
}
