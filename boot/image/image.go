// Package image is the format of a Goshawk image: the ELF executable that
// the Go linker wrote, made bootable by a note with the PVH entry point, and
// optionally carrying a tar with the files of its root directory.
//
// References: System V ABI, chapters 4 and 5 (ELF); Xen's
// xen/include/public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY).
package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// PTRoot is the type of the program header that tells where the tar with the
// root directory is: its physical address in p_paddr, its length in bytes in
// p_filesz. A PT_LOAD of the same extent has it loaded. The value lies in the
// range that the ELF specification leaves to operating systems.
const PTRoot elf.ProgType = elf.PT_LOOS + 0x6f5367

// PTZero is the type of the program header of zeroed variables that no loader
// gives memory to, and the kernel does only when they are touched: their address
// in p_vaddr, their length in bytes in p_memsz.
const PTZero elf.ProgType = elf.PT_LOOS + 0x6f5368

const (
	// mark stands in a loaded segment of every Goshawk program, followed by
	// the physical address of the PVH entry point and that of the end of what
	// the kernel itself needs of zeroed memory (8 bytes each, little endian).
	mark = "goshawk-pvh-note"

	// leastZero is how many bytes of zeroed variables are worth a header of
	// their own.
	leastZero = 2 << 20

	notePVH = 18 // XEN_ELFNOTE_PHYS32_ENTRY

	headerSize  = 64 // Elf64_Ehdr
	progSize    = 56 // Elf64_Phdr
	sectionSize = 64 // Elf64_Shdr

	page      = 4096
	rootAlign = 2 << 20 // alignment of the tar in memory
)

// ErrNotGoshawk is the error for a file that is no Goshawk program.
var ErrNotGoshawk = errors.New("not a Goshawk program")

// An Options value says what an image contains beside the program.
type Options struct {
	Root    string   // directory to become the program's root directory; "" for none
	Exclude []string // as in TarOptions, of Root
}

// Finish writes the image out from in, an executable that the Go linker
// wrote. File offsets of sections and segments stay as they are. out appears
// complete or not at all; it may be in.
func Finish(in, out string, o Options) (err error) {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	f, err := parse(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	if _, err := inspect(bytes.NewReader(data), int64(len(data))); err == nil {
		return fmt.Errorf("%s: already an image; build the program again", in)
	}
	entry, kernelEnd, err := f.findMark(data)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	added := f.splitZero(kernelEnd)
	file, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+"-")
	if err != nil {
		return err
	}
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if o.Root != "" {
		root, err := appendRoot(file, int64(len(data)), f.top(), o)
		if err != nil {
			return err
		}
		if root.Paddr+root.Memsz > 1<<32 {
			return fmt.Errorf("%s: the files of %s take %d bytes, which do not fit below 4 GiB", in, o.Root, root.Memsz)
		}
		load := root
		load.Type = uint32(elf.PT_LOAD)
		root.Type = uint32(PTRoot)
		added = append(added, load, root)
	}
	head, err := f.head(data, entry, added)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	if _, err := file.WriteAt(head, 0); err != nil {
		return err
	}
	stat, err := os.Stat(in)
	if err != nil {
		return err
	}
	if err := file.Chmod(stat.Mode().Perm()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), out)
}

// appendRoot appends the tar of o.Root to file, which has size bytes, and
// returns its extent. top is the first address behind the program.
func appendRoot(file *os.File, size int64, top uint64, o Options) (elf.Prog64, error) {
	start := alignUp(uint64(size), page)
	if _, err := file.Seek(int64(start), io.SeekStart); err != nil {
		return elf.Prog64{}, err
	}
	if err := WriteTar(file, o.Root, TarOptions{Exclude: o.Exclude}); err != nil {
		return elf.Prog64{}, err
	}
	end, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return elf.Prog64{}, err
	}
	addr := alignUp(top, rootAlign)
	length := uint64(end) - start
	return elf.Prog64{
		Flags: uint32(elf.PF_R), Off: start, Vaddr: addr, Paddr: addr,
		Filesz: length, Memsz: length, Align: page,
	}, nil
}

// findMark returns what stands behind the mark: the PVH entry address and the
// end of what the kernel needs. data is the file. A mark is believed only if the
// entry is code: a program may contain the bytes of the mark as data.
func (f *file) findMark(data []byte) (entry, kernelEnd uint64, err error) {
	found := 0
	for _, p := range f.progs {
		if elf.ProgType(p.Type) != elf.PT_LOAD {
			continue
		}
		rest := data[p.Off : p.Off+p.Filesz]
		for {
			_, after, ok := bytes.Cut(rest, []byte(mark))
			if !ok || len(after) < 16 {
				break
			}
			if e := binary.LittleEndian.Uint64(after); f.isCode(e) {
				found++
				entry, kernelEnd = e, binary.LittleEndian.Uint64(after[8:])
			}
			rest = after
		}
	}
	switch found {
	case 0:
		return 0, 0, fmt.Errorf("%w: it does not contain the mark of the PVH entry", ErrNotGoshawk)
	case 1:
		return entry, kernelEnd, nil
	}
	return 0, 0, fmt.Errorf("the mark of the PVH entry is there %d times, not once", found)
}

// splitZero shortens the segment whose zeroed part contains kernelEnd to what the
// kernel needs, and returns a program header for the rest; none if the rest is
// not worth it.
func (f *file) splitZero(kernelEnd uint64) []elf.Prog64 {
	from := alignUp(kernelEnd, page)
	for i := range f.progs {
		p := &f.progs[i]
		end := p.Vaddr + p.Memsz
		if elf.ProgType(p.Type) != elf.PT_LOAD || kernelEnd < p.Vaddr+p.Filesz || end < from || end-from < leastZero {
			continue
		}
		zero := elf.Prog64{
			Type: uint32(PTZero), Flags: p.Flags, Vaddr: from, Paddr: p.Paddr + from - p.Vaddr,
			Memsz: end - from, Align: page,
		}
		p.Memsz = from - p.Vaddr
		return []elf.Prog64{zero}
	}
	return nil
}

// isCode reports whether addr is in an executable segment.
func (f *file) isCode(addr uint64) bool {
	for _, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD && p.Flags&uint32(elf.PF_X) != 0 &&
			addr >= p.Paddr && addr-p.Paddr < p.Filesz {
			return true
		}
	}
	return false
}

// top returns the first address behind the program's segments.
func (f *file) top() uint64 {
	var top uint64
	for _, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD {
			top = max(top, p.Vaddr+p.Memsz)
		}
	}
	return top
}

// head returns the new beginning of the file: the space that the Go linker
// leaves in front of the first section's content. It gets the note and the
// added program headers; the section headers, which the linker puts behind
// the program headers, move to make room.
//
// The note joins the linker's PT_NOTE and comes first in it. QEMU looks for
// the note in every PT_NOTE, but its search of one runs past the end
// (get_elf_note_type in include/hw/elf_ops.h compares the size of one entry
// with that of the segment), so a segment that lacks the note is not safe.
func (f *file) head(data []byte, entry uint64, added []elf.Prog64) ([]byte, error) {
	content, err := f.firstContent(data)
	if err != nil {
		return nil, err
	}
	note := pvhNote(entry)
	if content < headerSize+uint64(len(note)) {
		return nil, errors.New("no room for the PVH note: the file was not written by the Go linker")
	}
	noteAt := (content - uint64(len(note))) &^ 3
	progs := append([]elf.Prog64(nil), f.progs...)
	joined := false
	for i, p := range progs {
		if elf.ProgType(p.Type) == elf.PT_NOTE && p.Off == noteAt+uint64(len(note)) && p.Align == 4 {
			n := uint64(len(note))
			progs[i].Off, progs[i].Vaddr, progs[i].Paddr = p.Off-n, p.Vaddr-n, p.Paddr-n
			progs[i].Filesz, progs[i].Memsz = p.Filesz+n, p.Memsz+n
			joined = true
		}
	}
	if !joined {
		var addr uint64 // 0 if the beginning of the file is not loaded
		for _, p := range f.progs {
			if elf.ProgType(p.Type) == elf.PT_LOAD && p.Off == 0 {
				addr = p.Vaddr + noteAt
			}
		}
		progs = append(progs, elf.Prog64{
			Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: noteAt, Vaddr: addr, Paddr: addr,
			Filesz: uint64(len(note)), Memsz: uint64(len(note)), Align: 4,
		})
	}
	progs = append(progs, added...)
	for i, p := range progs {
		if elf.ProgType(p.Type) == elf.PT_PHDR {
			progs[i].Filesz = uint64(len(progs)) * progSize
			progs[i].Memsz = progs[i].Filesz
		}
	}

	head := make([]byte, content)
	header := f.header
	header.Phnum = uint16(len(progs))
	at := header.Phoff + uint64(len(progs))*progSize
	if header.Shoff < content {
		length := uint64(header.Shnum) * sectionSize
		if at+length > noteAt {
			return nil, fmt.Errorf("no room for %d program headers and %d section headers in front of the program", len(progs), header.Shnum)
		}
		copy(head[at:], data[header.Shoff:header.Shoff+length])
		header.Shoff = at
		at += length
	}
	if at > noteAt {
		return nil, fmt.Errorf("no room for %d program headers in front of the program", len(progs))
	}
	if _, err := binary.Encode(head, binary.LittleEndian, header); err != nil {
		return nil, err
	}
	if _, err := binary.Encode(head[header.Phoff:], binary.LittleEndian, progs); err != nil {
		return nil, err
	}
	copy(head[noteAt:], note)
	return head, nil
}

// firstContent returns the file offset of the first section's content.
func (f *file) firstContent(data []byte) (uint64, error) {
	length := uint64(f.header.Shnum) * sectionSize
	if f.header.Shnum == 0 || f.header.Shentsize != sectionSize ||
		f.header.Shoff > uint64(len(data)) || length > uint64(len(data))-f.header.Shoff {
		return 0, errors.New("no section headers: the file was not written by the Go linker")
	}
	sections := make([]elf.Section64, f.header.Shnum)
	if err := binary.Read(bytes.NewReader(data[f.header.Shoff:]), binary.LittleEndian, sections); err != nil {
		return 0, err
	}
	content := uint64(len(data))
	for _, s := range sections {
		if elf.SectionType(s.Type) != elf.SHT_NULL && elf.SectionType(s.Type) != elf.SHT_NOBITS {
			content = min(content, s.Off)
		}
	}
	return content, nil
}

// pvhNote is an ELF note of name "Xen" with the physical address entry.
func pvhNote(entry uint64) []byte {
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, 4) // n_namesz
	b = binary.LittleEndian.AppendUint32(b, 8) // n_descsz
	b = binary.LittleEndian.AppendUint32(b, notePVH)
	b = append(b, "Xen\x00"...)
	return binary.LittleEndian.AppendUint64(b, entry)
}

func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
