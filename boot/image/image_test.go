package image

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// build builds testdata/program (or another directory of testdata) for Linux
// and returns the path of what the Go linker wrote.
func build(t testing.TB, program string, env []string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), "./testdata/"+program)...)
	cmd.Env = append(append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"), env...)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	return out
}

// rootDir makes a directory whose tar begins with 'A'.
func rootDir(t testing.TB) string {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "A.txt"), []byte("content"), 0o644))
	return dir
}

// boot boots the image and returns QEMU's exit code, which isa-debug-exit
// makes 2n+1 for the n that the program writes.
func boot(t *testing.T, image string, machine ...string) int {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(machine, "-kernel", image, "-nodefaults", "-display", "none",
		"-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4")...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", text)
	return exit.ExitCode()
}

var linked = []struct {
	name  string
	flags []string
}{
	{"plain", nil},
	{"stripped", []string{"-ldflags=-s -w"}},
	{"no build IDs", []string{"-ldflags=-buildid= -B none"}},
	{"trimpath", []string{"-trimpath"}},
}

func TestFinish(t *testing.T) {
	for _, l := range linked {
		t.Run(l.name, func(t *testing.T) {
			in := build(t, "program", nil, l.flags...)
			out := filepath.Join(t.TempDir(), "image")
			require.NoError(t, Finish(in, out, Options{}))

			before, err := elf.Open(in)
			require.NoError(t, err)
			defer before.Close()
			after, err := elf.Open(out)
			require.NoError(t, err)
			defer after.Close()
			require.Len(t, after.Sections, len(before.Sections))
			for i, s := range before.Sections {
				assert.Equal(t, s.SectionHeader, after.Sections[i].SectionHeader)
				if s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL {
					want, err := s.Data()
					require.NoError(t, err)
					got, err := after.Sections[i].Data()
					require.NoError(t, err)
					assert.True(t, bytes.Equal(want, got), "content of %s", s.Name)
				}
			}
			var notes int
			for _, p := range after.Progs {
				if p.Type == elf.PT_NOTE {
					notes++
					assert.EqualValues(t, 4, p.Align)
					data := make([]byte, 24)
					_, err := p.ReadAt(data, 0)
					require.NoError(t, err)
					assert.Equal(t, "Xen\x00", string(data[12:16]), "the PVH note comes first")
				}
			}
			assert.Equal(t, 1, notes)

			info, err := Inspect(out)
			require.NoError(t, err)
			assert.Zero(t, info.RootSize)
			text := after.Section(".text")
			assert.True(t, info.Entry >= text.Addr && info.Entry < text.Addr+text.Size)

			output, err := exec.Command(out).CombinedOutput()
			require.NoError(t, err)
			assert.Equal(t, "hello 32 103 0\n", string(output), "the image still is the Linux program")

			require.NoError(t, Finish(in, in, Options{}), "out may be in")
			assert.Equal(t, read(t, out), read(t, in), "same inputs, same bytes")
			assert.EqualError(t, Finish(in, out, Options{}), in+": already an image; build the program again")
		})
	}
}

func read(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func TestFinishRoot(t *testing.T) {
	in, dir := build(t, "program", nil), rootDir(t)
	out := filepath.Join(t.TempDir(), "image")
	require.NoError(t, Finish(in, out, Options{Root: dir}))
	info, err := Inspect(out)
	require.NoError(t, err)

	f, err := elf.Open(out)
	require.NoError(t, err)
	defer f.Close()
	var root, load *elf.Prog
	top := uint64(0)
	for _, p := range f.Progs {
		switch {
		case p.Type == PTRoot:
			root = p
		case p.Type == elf.PT_LOAD && p.Vaddr == info.RootAddr:
			load = p
		case p.Type == elf.PT_LOAD:
			top = max(top, p.Vaddr+p.Memsz)
		}
	}
	require.NotNil(t, root)
	require.NotNil(t, load)
	assert.Equal(t, root.ProgHeader.Filesz, info.RootSize)
	assert.Equal(t, elf.PF_R, load.Flags)
	assert.Equal(t, root.Paddr, load.Paddr)
	assert.Zero(t, load.Vaddr%(2<<20))
	assert.Zero(t, load.Off%4096)
	assert.True(t, load.Vaddr >= top && load.Vaddr-top < 2<<20)
	assert.Equal(t, info.Top, load.Vaddr+load.Memsz)

	var want bytes.Buffer
	require.NoError(t, WriteTar(&want, dir, TarOptions{}))
	got := make([]byte, root.Filesz)
	_, err = load.ReadAt(got, 0)
	require.NoError(t, err)
	assert.Equal(t, want.Bytes(), got)

	require.ErrorIs(t, Finish(in, out, Options{Root: filepath.Join(dir, "absent")}), os.ErrNotExist)
	_, err = Inspect(out)
	require.NoError(t, err, "a failure leaves the old image")
	entries, err := os.ReadDir(filepath.Dir(out))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "and no other file")
}

// TestZero: a loader gives memory to zeroed variables only as far as the kernel
// needs them.
func TestZero(t *testing.T) {
	in := build(t, "program", nil, "-tags=large")
	out := filepath.Join(t.TempDir(), "image")
	require.NoError(t, Finish(in, out, Options{Root: rootDir(t)}))
	before, err := elf.Open(in)
	require.NoError(t, err)
	defer before.Close()
	after, err := elf.Open(out)
	require.NoError(t, err)
	defer after.Close()

	symbols, err := before.Symbols()
	require.NoError(t, err)
	kernelEnd := uint64(0)
	for _, s := range symbols {
		if s.Name == "main.kernel" {
			kernelEnd = s.Value + s.Size
		}
	}
	require.NotZero(t, kernelEnd)
	was := before.Progs[slices.IndexFunc(before.Progs, writable)]
	load := after.Progs[slices.IndexFunc(after.Progs, writable)]
	zero := after.Progs[slices.IndexFunc(after.Progs, func(p *elf.Prog) bool { return p.Type == PTZero })]
	assert.Equal(t, alignUp(kernelEnd, page), load.Vaddr+load.Memsz)
	assert.Equal(t, was.Filesz, load.Filesz)
	assert.Equal(t, load.Vaddr+load.Memsz, zero.Vaddr)
	assert.Equal(t, was.Vaddr+was.Memsz, zero.Vaddr+zero.Memsz)
	assert.Equal(t, elf.PF_R|elf.PF_W, zero.Flags)
	assert.Zero(t, zero.Filesz)
	info, err := Inspect(out)
	require.NoError(t, err)
	assert.Equal(t, alignUp(load.Vaddr+load.Memsz, rootAlign), info.RootAddr, "the root directory takes the place")
	assert.Less(t, info.Top, uint64(16<<20))
	if !testing.Short() {
		assert.Equal(t, 2*int('A')+1, boot(t, out, "-machine", "microvm", "-m", "16M"))
	}
}

func writable(p *elf.Prog) bool { return p.Type == elf.PT_LOAD && p.Flags&elf.PF_W != 0 }

// TestBoot shows that QEMU finds the note and loads the segments.
func TestBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("boots machines")
	}
	for _, l := range linked {
		in := build(t, "program", nil, l.flags...)
		for _, machine := range []string{"microvm", "q35", "pc"} {
			t.Run(l.name+"/"+machine, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "image")
				require.NoError(t, Finish(in, out, Options{}))
				assert.Equal(t, 2*42+1, boot(t, out, "-machine", machine))
				require.NoError(t, Finish(in, out, Options{Root: rootDir(t)}))
				assert.Equal(t, 2*int('A')+1, boot(t, out, "-machine", machine))
			})
		}
	}
}

func TestNotGoshawk(t *testing.T) {
	plain := build(t, "plain", nil)
	out := filepath.Join(t.TempDir(), "image")
	err := Finish(plain, out, Options{})
	assert.ErrorIs(t, err, ErrNotGoshawk)
	assert.NoFileExists(t, out)
	_, err = Inspect(plain)
	assert.ErrorIs(t, err, ErrNotGoshawk)
	assert.ErrorContains(t, err, "goshawk build")

	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755))
	_, err = Inspect(text)
	assert.EqualError(t, err, text+": not a Goshawk program: not an ELF file")
	_, err = Inspect(t.TempDir())
	assert.ErrorContains(t, err, "not a regular file")
	_, err = Inspect(text + ".absent")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestOtherArchitecture(t *testing.T) {
	for _, arch := range []string{"arm64", "386", "s390x", "riscv64"} {
		in := build(t, "plain", []string{"GOARCH=" + arch})
		_, err := Inspect(in)
		assert.EqualError(t, err, in+": image is for "+arch+", this build runs amd64")
	}
}

func TestTruncated(t *testing.T) {
	in := build(t, "program", nil)
	out := filepath.Join(t.TempDir(), "image")
	require.NoError(t, Finish(in, out, Options{Root: rootDir(t)}))
	data := read(t, out)
	for _, size := range []int{0, 3, 63, 64, 100, 4096, len(data) / 2, len(data) - 1} {
		_, err := inspect(bytes.NewReader(data[:size]), int64(size))
		require.Error(t, err, "%d bytes", size)
		if size >= 4 {
			assert.ErrorContains(t, err, "truncated: ", "%d bytes", size)
		} else {
			assert.ErrorIs(t, err, ErrNotGoshawk, "%d bytes", size)
		}
	}
}

func FuzzInspect(f *testing.F) {
	in := build(f, "program", nil, "-ldflags=-s -w")
	out := filepath.Join(f.TempDir(), "image")
	require.NoError(f, Finish(in, out, Options{Root: rootDir(f)}))
	data, err := os.ReadFile(out)
	require.NoError(f, err)
	// The headers are what matters: declare the file to be as long as it is,
	// and answer zeros behind them.
	f.Add(data[:4096], int64(len(data)))
	f.Add([]byte("\x7fELF"), int64(4))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		if size < int64(len(head)) {
			head = head[:max(size, 0)]
		}
		info, err := inspect(padded(head), max(size, 0))
		if err == nil && (info.Entry == 0 || info.Entry >= info.Top) {
			t.Errorf("entry %#x outside an image that ends at %#x", info.Entry, info.Top)
		}
	})
}

// padded reads as its bytes, followed by zeros.
type padded []byte

func (p padded) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	clear(b)
	if off < int64(len(p)) {
		copy(b, p[off:])
	}
	return len(b), nil
}
