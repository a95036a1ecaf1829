package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// An Info describes an image.
type Info struct {
	Entry    uint64 // physical address of the PVH entry
	Top      uint64 // first physical address behind what is loaded, in bytes
	RootAddr uint64 // physical address of the root directory's tar
	RootSize uint64 // its length in bytes, 0 if there is none
}

// Inspect checks that the file is a complete image for amd64.
func Inspect(path string) (Info, error) {
	file, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return Info{}, err
	}
	if !stat.Mode().IsRegular() {
		return Info{}, fmt.Errorf("%s: not a regular file", path)
	}
	info, err := inspect(file, stat.Size())
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

func inspect(r io.ReaderAt, size int64) (Info, error) {
	f, err := parse(r, size)
	if err != nil {
		return Info{}, err
	}
	var info Info
	for _, p := range f.progs {
		switch elf.ProgType(p.Type) {
		case elf.PT_LOAD:
			info.Top = max(info.Top, p.Paddr+p.Memsz)
		case elf.PT_NOTE:
			if p.Filesz >= uint64(len(pvhNote(0))) {
				note := make([]byte, len(pvhNote(0)))
				if _, err := r.ReadAt(note, int64(p.Off)); err != nil {
					return Info{}, err
				}
				entry := binary.LittleEndian.Uint64(note[len(note)-8:])
				if bytes.Equal(note, pvhNote(entry)) {
					info.Entry = entry
				}
			}
		case PTRoot:
			info.RootAddr, info.RootSize = p.Paddr, p.Filesz
		}
	}
	if info.Entry == 0 {
		return Info{}, fmt.Errorf("%w: it has no PVH note; build it with goshawk build", ErrNotGoshawk)
	}
	if !f.isCode(info.Entry) {
		return Info{}, fmt.Errorf("damaged: the PVH entry %#x is in no executable segment", info.Entry)
	}
	return info, nil
}

// A file is the structure of an ELF executable whose segments are all there.
type file struct {
	header elf.Header64
	progs  []elf.Prog64
}

// machines names the architectures as Go does.
var machines = map[elf.Machine]string{
	elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_AARCH64: "arm64", elf.EM_LOONGARCH: "loong64",
	elf.EM_PPC64: "ppc64", elf.EM_RISCV: "riscv64", elf.EM_S390: "s390x", elf.EM_X86_64: "amd64",
}

// parse reads the structure of an executable of size bytes for amd64, and
// checks that every segment lies within the file and the address space.
func parse(r io.ReaderAt, size int64) (*file, error) {
	var f file
	ident := make([]byte, headerSize)
	n, err := r.ReadAt(ident, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.HasPrefix(ident, []byte(elf.ELFMAG)) {
		return nil, fmt.Errorf("%w: not an ELF file", ErrNotGoshawk)
	}
	if n < headerSize {
		return nil, fmt.Errorf("truncated: the ELF header needs %d bytes, the file has %d", headerSize, n)
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if elf.Data(ident[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	// The fields up to e_machine are the same in files of 32 and 64 bits.
	if m := elf.Machine(order.Uint16(ident[18:])); m != elf.EM_X86_64 {
		name, ok := machines[m]
		if !ok {
			name = m.String()
		}
		return nil, fmt.Errorf("image is for %s, this build runs amd64", name)
	}
	if elf.Class(ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("%w: not a 64-bit little-endian ELF file", ErrNotGoshawk)
	}
	if _, err := binary.Decode(ident, binary.LittleEndian, &f.header); err != nil {
		return nil, err
	}
	h := &f.header
	if elf.Type(h.Type) != elf.ET_EXEC {
		return nil, fmt.Errorf("%w: the ELF file is of type %v, not an executable at a fixed address", ErrNotGoshawk, elf.Type(h.Type))
	}
	if h.Phentsize != progSize || h.Phnum == 0 {
		return nil, fmt.Errorf("%w: the ELF file has no program headers of 64-bit form", ErrNotGoshawk)
	}
	if err := within("the program header table", h.Phoff, uint64(h.Phnum)*progSize, size); err != nil {
		return nil, err
	}
	table := make([]byte, int(h.Phnum)*progSize)
	if _, err := r.ReadAt(table, int64(h.Phoff)); err != nil {
		return nil, err
	}
	f.progs = make([]elf.Prog64, h.Phnum)
	if _, err := binary.Decode(table, binary.LittleEndian, f.progs); err != nil {
		return nil, err
	}
	for _, p := range f.progs {
		if err := within(fmt.Sprintf("the segment at %#x", p.Paddr), p.Off, p.Filesz, size); err != nil {
			return nil, err
		}
		if elf.ProgType(p.Type) == elf.PT_LOAD &&
			(p.Memsz < p.Filesz || p.Vaddr+p.Memsz < p.Vaddr || p.Paddr+p.Memsz < p.Paddr) {
			return nil, fmt.Errorf("damaged: the segment at %#x has a length that cannot be", p.Paddr)
		}
	}
	return &f, nil
}

// within checks that length bytes at off lie in a file of size bytes.
func within(what string, off, length uint64, size int64) error {
	if off > uint64(size) || length > uint64(size)-off {
		return fmt.Errorf("truncated: %s needs %d bytes at offset %d, the file has %d; build it again", what, length, off, size)
	}
	return nil
}
