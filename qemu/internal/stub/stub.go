// Package stub makes tiny guests: a stub enters 64-bit mode, does what its parts say one after the
// other, and resets the machine. Stubs show that an accelerator works, and test what runs machines.
package stub

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

const (
	// Base is where a stub is loaded and entered; its page tables lie at 2 MiB.
	Base = 1 << 20
	// Body is the address of a stub's first part.
	Body = Base + 187
)

// entry is entered by PVH: 32-bit protected mode, no paging. It stops unless the CPU has long
// mode and NX, maps the first 2 MiB by one page, and goes on in 64-bit mode behind itself, with
// interrupts off. There it uses an SSE register, as all Go code does and not every KVM can in ring 0.
// The Go comments are the assembly.
var entry = mustHex(
	"fc" + // cld
		"b800000080" + "0fa2" + // mov $0x80000000, %eax; cpuid
		"3d01000080" + "7275" + // cmp $0x80000001, %eax; jb die
		"b801000080" + "0fa2" + // mov $0x80000001, %eax; cpuid
		"81e200001020" + "81fa00001020" + // and $0x20100000, %edx; cmp: LM and NX
		"7560" + // jne die
		"bf00002000" + "31c0" + "b9000c0000" + "f3ab" + // clear three pages at 2 MiB
		"c7050000200003102000" + // PML4[0] = PDPT, present and writable
		"c7050010200003202000" + // PDPT[0] = PD
		"c7050020200083000000" + // PD[0] = 0, 2 MiB page
		"b820060000" + "0f22e0" + // CR4 = PAE, OSFXSR, OSXMMEXCPT
		"b800002000" + "0f22d8" + // CR3 = PML4
		"b9800000c0" + "b800090000" + "31d2" + "0f30" + // EFER = LME, NXE
		"b801000080" + "0f22c0" + // CR0 = PG, PE
		"0f0115a0001000" + // lgdt gdtr
		"eaae0010000800" + // ljmp $8, $end
		"0f011da6001000" + "cc" + // die: lidt null; int3 (a triple fault)
		"0f1f4000" + // align
		"0000000000000000" + "ffff0000009baf00" + // gdt: null, 64-bit code
		"0f0090001000" + // gdtr: limit, gdt
		"0000000000000000" + // null
		"450f57ff" + "440f113c2500000800") // end: xorps %xmm15, %xmm15; movups %xmm15, 0x80000

var (
	// Echo sets up the UART with its FIFOs, which forgets what has arrived, waits for a start
	// code and writes framed input back until it ends, an interrupt as "^".
	Echo = mustHex(
		"bc00000800" + // mov $0x80000, %esp
			"66bafa03" + "b007" + "ee" + // FIFO control: enable and reset
			"e830000000" + "3c10" + "75f7" + // sync: call rd; until it is an escape
			"e827000000" + "3c73" + "75f3" + // call rd; until it is 's' behind an escape
			"e81e000000" + "3c10" + "7513" + // next: call rd; if no escape goto put
			"e815000000" + // call rd
			"3c65" + "7420" + // 'e': goto done
			"3c73" + "74ea" + // 's': goto next
			"3c69" + "7502" + "b05e" + // 'i' is a '^'
			"66baf803" + "ee" + "ebdd" + // put: out %al, $0x3f8; goto next
			"66bafd03" + "ec" + "a801" + "74fb" + // rd: wait for line status bit 0
			"66baf803" + "ec" + "c3") // in $0x3f8, %al; ret; done:

	// Hang waits for ever.
	Hang = mustHex("f4" + "ebfd") // hlt; jmp to it
)

// Say writes text to the console.
func Say(text string) []byte { return Out(0x3f8, text) }

// Status reports an exit status.
func Status(n int) []byte { return Out(0xe9, strconv.Itoa(n)+"\n") }

// Out writes text to a port.
func Out(port uint16, text string) []byte {
	code := []byte{0x66, 0xba, byte(port), byte(port >> 8)} // mov $port, %dx
	for _, c := range []byte(text) {
		code = append(code, 0xb0, c, 0xee) // mov $c, %al; out %al, %dx
	}
	return code
}

// New returns the ELF image of a stub with these parts, which are code.
func New(parts ...[]byte) []byte {
	const headers = 64 + 2*56
	note := []byte("\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00")
	note = binary.LittleEndian.AppendUint64(note, Base)
	code := slices.Concat(entry, slices.Concat(parts...), mustHex("0f011c25a6001000"+"cc")) // lidt null; int3

	le := binary.LittleEndian
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	b = le.AppendUint16(b, 2)  // e_type: ET_EXEC
	b = le.AppendUint16(b, 62) // e_machine: EM_X86_64
	b = le.AppendUint32(b, 1)  // e_version
	b = le.AppendUint64(b, Base)
	b = le.AppendUint64(b, 64) // e_phoff
	b = le.AppendUint64(b, 0)  // e_shoff
	b = le.AppendUint32(b, 0)  // e_flags
	for _, v := range []uint16{64, 56, 2, 64, 0, 0} {
		b = le.AppendUint16(b, v) // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
	}
	segment := func(kind, flags uint32, off, addr, size, align uint64) {
		b = le.AppendUint32(b, kind)
		b = le.AppendUint32(b, flags)
		for _, v := range []uint64{off, addr, addr, size, size, align} {
			b = le.AppendUint64(b, v)
		}
	}
	segment(1, 7, headers+uint64(len(note)), Base, uint64(len(code)), 1) // PT_LOAD
	segment(4, 4, headers, 0, uint64(len(note)), 4)                      // PT_NOTE
	return slices.Concat(b, note, code)
}

// Write writes a stub to a file that lasts as long as the test, and returns its path.
func Write(t interface {
	Helper()
	TempDir() string
	Fatalf(format string, args ...any)
}, parts ...[]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stub.elf")
	if err := os.WriteFile(file, New(parts...), 0o666); err != nil {
		t.Fatalf("%v", err)
	}
	return file
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // a constant of this file
	}
	return b
}
