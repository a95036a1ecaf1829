package inet

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A program is a classic BPF filter (linux/filter.h; McCanne and Jacobson, "The BSD Packet Filter",
// 1993). It was checked: jumps go forward to an instruction, and the last one returns.
type program struct {
	code []unix.SockFilter
}

// maxProgram is BPF_MAXINSNS (linux/bpf_common.h), scratchWords BPF_MEMWORDS.
const (
	maxProgram   = 4096
	scratchWords = 16
)

// What a program asks of a packet at offsets from adOffset on (linux/filter.h, SKF_AD_OFF), and
// what Linux calls the limit of these.
const (
	adOffset        = 0xfffff000
	adProtocol      = adOffset + 0
	adPacketType    = adOffset + 4
	adInterface     = adOffset + 8
	extensionsLimit = 64 // SKF_AD_MAX
)

// packetMeta is what a program can learn of a packet besides its bytes.
type packetMeta struct {
	length   int // before it was cut
	protocol uint16
	kind     uint8
	index    int
}

// loadProgram reads a struct sock_fprog, whose instructions lie in the caller's memory.
func loadProgram(value []byte) (*program, syscall.Errno) {
	if len(value) != int(unsafe.Sizeof(unix.SockFprog{})) {
		return nil, syscall.EINVAL
	}
	n := int(binary.NativeEndian.Uint16(value))
	where := *(*unsafe.Pointer)(unsafe.Pointer(&value[unsafe.Offsetof(unix.SockFprog{}.Filter)]))
	if where == nil || n == 0 || n > maxProgram {
		return nil, syscall.EINVAL
	}
	p := &program{code: append([]unix.SockFilter(nil), unsafe.Slice((*unix.SockFilter)(where), n)...)}
	if !p.valid() {
		return nil, syscall.EINVAL
	}
	return p, 0
}

// valid checks that p ends and stays within itself.
func (p *program) valid() bool {
	for i, c := range p.code {
		if !known(c.Code) {
			return false
		}
		left := uint32(len(p.code) - i - 1)
		switch c.Code & 7 {
		case unix.BPF_LD, unix.BPF_LDX:
			if c.Code&0xe0 == unix.BPF_MEM && c.K >= scratchWords {
				return false
			}
		case unix.BPF_ST, unix.BPF_STX:
			if c.K >= scratchWords {
				return false
			}
		case unix.BPF_ALU:
			switch c.Code & 0xf8 {
			case unix.BPF_DIV | unix.BPF_K, unix.BPF_MOD | unix.BPF_K:
				if c.K == 0 {
					return false
				}
			case unix.BPF_LSH | unix.BPF_K, unix.BPF_RSH | unix.BPF_K:
				if c.K >= 32 {
					return false
				}
			}
		case unix.BPF_JMP:
			if c.Code&0xf0 == unix.BPF_JA {
				if c.K >= left {
					return false
				}
			} else if uint32(c.Jt) >= left || uint32(c.Jf) >= left {
				return false
			}
		}
	}
	return p.code[len(p.code)-1].Code&7 == unix.BPF_RET
}

// known reports whether there is an instruction of that code.
func known(code uint16) bool {
	low, high := code&7, code&^7
	switch low {
	case unix.BPF_LD:
		switch high {
		case unix.BPF_W | unix.BPF_IMM, unix.BPF_W | unix.BPF_MEM, unix.BPF_W | unix.BPF_LEN:
			return true
		}
		size, mode := high&0x18, high&^0x18
		return size != 0x18 && (mode == unix.BPF_ABS || mode == unix.BPF_IND)
	case unix.BPF_LDX:
		switch high {
		case unix.BPF_W | unix.BPF_IMM, unix.BPF_W | unix.BPF_MEM, unix.BPF_W | unix.BPF_LEN, unix.BPF_B | unix.BPF_MSH:
			return true
		}
		return false
	case unix.BPF_ST, unix.BPF_STX:
		return high == 0
	case unix.BPF_ALU:
		switch operation := high &^ unix.BPF_X; operation {
		case unix.BPF_NEG:
			return high == operation
		default:
			return operation <= unix.BPF_XOR && operation&0xf == 0
		}
	case unix.BPF_JMP:
		switch operation := high &^ unix.BPF_X; operation {
		case unix.BPF_JA:
			return high == operation
		default:
			return operation <= unix.BPF_JSET && operation&0xf == 0
		}
	case unix.BPF_RET:
		return high == unix.BPF_K || high == unix.BPF_A
	}
	return high == unix.BPF_TAX || high == unix.BPF_TXA
}

// run returns how many bytes of the packet pass, 0 for none.
func (p *program) run(packet []byte, meta packetMeta) uint32 {
	var a, x uint32
	var scratch [scratchWords]uint32
	for i := 0; i < len(p.code); i++ {
		c := &p.code[i]
		switch c.Code & 7 {
		case unix.BPF_LD:
			v, ok := p.load(c, packet, meta, x, &scratch)
			if !ok {
				return 0
			}
			a = v
		case unix.BPF_LDX:
			switch c.Code & 0xe0 {
			case unix.BPF_IMM:
				x = c.K
			case unix.BPF_MEM:
				x = scratch[c.K]
			case unix.BPF_LEN:
				x = uint32(meta.length)
			case unix.BPF_MSH:
				if uint64(c.K) >= uint64(len(packet)) {
					return 0
				}
				x = uint32(packet[c.K]&0xf) << 2
			default:
				return 0
			}
		case unix.BPF_ST:
			scratch[c.K] = a
		case unix.BPF_STX:
			scratch[c.K] = x
		case unix.BPF_ALU:
			v, ok := compute(c, a, x)
			if !ok {
				return 0
			}
			a = v
		case unix.BPF_JMP:
			i += jump(c, a, x)
		case unix.BPF_RET:
			if c.Code&0x18 == unix.BPF_A {
				return a
			}
			return c.K
		default: // BPF_MISC
			if c.Code&0xf8 == unix.BPF_TXA {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}

// load carries out BPF_LD.
func (p *program) load(c *unix.SockFilter, packet []byte, meta packetMeta, x uint32, scratch *[scratchWords]uint32) (uint32, bool) {
	at := uint64(c.K)
	switch c.Code & 0xe0 {
	case unix.BPF_IMM:
		return c.K, true
	case unix.BPF_MEM:
		return scratch[c.K], true
	case unix.BPF_LEN:
		return uint32(meta.length), true
	case unix.BPF_IND:
		at = uint64(c.K + x) // an offset below zero, which wraps, is legal
	case unix.BPF_ABS:
		switch c.K {
		case adProtocol:
			return uint32(meta.protocol), true
		case adPacketType:
			return uint32(meta.kind), true
		case adInterface:
			return uint32(meta.index), true
		}
	default:
		return 0, false
	}
	size := uint64(4)
	switch c.Code & 0x18 {
	case unix.BPF_H:
		size = 2
	case unix.BPF_B:
		size = 1
	}
	if at+size > uint64(len(packet)) {
		return 0, false
	}
	switch b := packet[at:]; size {
	case 1:
		return uint32(b[0]), true
	case 2:
		return uint32(binary.BigEndian.Uint16(b)), true
	default:
		return binary.BigEndian.Uint32(b), true
	}
}

// compute carries out BPF_ALU. A division by zero ends the program.
func compute(c *unix.SockFilter, a, x uint32) (uint32, bool) {
	v := c.K
	if c.Code&unix.BPF_X != 0 {
		v = x
	}
	switch c.Code & 0xf0 {
	case unix.BPF_ADD:
		return a + v, true
	case unix.BPF_SUB:
		return a - v, true
	case unix.BPF_MUL:
		return a * v, true
	case unix.BPF_DIV, unix.BPF_MOD:
		if v == 0 {
			return 0, false
		}
		if c.Code&0xf0 == unix.BPF_MOD {
			return a % v, true
		}
		return a / v, true
	case unix.BPF_AND:
		return a & v, true
	case unix.BPF_OR:
		return a | v, true
	case unix.BPF_XOR:
		return a ^ v, true
	case unix.BPF_LSH:
		return a << (v & 31), true
	case unix.BPF_RSH:
		return a >> (v & 31), true
	case unix.BPF_NEG:
		return -a, true
	}
	return 0, false
}

// jump returns how many instructions BPF_JMP skips.
func jump(c *unix.SockFilter, a, x uint32) int {
	v := c.K
	if c.Code&unix.BPF_X != 0 {
		v = x
	}
	taken := false
	switch c.Code & 0xf0 {
	case unix.BPF_JA:
		return int(c.K)
	case unix.BPF_JEQ:
		taken = a == v
	case unix.BPF_JGT:
		taken = a > v
	case unix.BPF_JGE:
		taken = a >= v
	case unix.BPF_JSET:
		taken = a&v != 0
	}
	if taken {
		return int(c.Jt)
	}
	return int(c.Jf)
}
