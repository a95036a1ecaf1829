package unix

import (
	"strconv"
	"strings"
)

// States of sockets in /proc/net/unix (linux/net.h).
const (
	stateUnconnected = 1
	stateConnecting  = 2
	stateConnected   = 3

	flagListens = 1 << 16 // __SO_ACCEPTCON
)

// ProcNet returns the text of /proc/net/unix (proc(5)): a line for each socket, the newest first.
func ProcNet() []byte {
	b := []byte("Num       RefCount Protocol Flags    Type St Inode Path\n")
	unix.mu.Lock()
	defer unix.mu.Unlock()
	for s := unix.first; s != nil; s = s.next {
		b = s.line(b)
	}
	return b
}

// line appends the line of s, with the family locked.
func (s *Socket) line(b []byte) []byte {
	references, flags, state := uint64(2), uint64(0), uint64(stateUnconnected)
	if s.listening {
		flags = flagListens
	}
	if s.connectionOriented() && s.peer.Load() != nil {
		references, state = 3, stateConnected
		if s.notify.Load() == nil {
			state = stateConnecting // not accepted yet
		}
	}
	b = append(b, "0000000000000000:"...)
	for _, n := range [...]struct {
		value uint64
		width int
	}{{references, 8}, {0, 8}, {flags, 8}, {uint64(s.kind), 4}, {state, 2}} {
		b = append(b, ' ')
		for i := n.width - 1; i >= 0; i-- {
			b = append(b, "0123456789ABCDEF"[n.value>>(4*i)&0xf])
		}
	}
	inode := strconv.FormatUint(s.inode.Load(), 10)
	b = append(b, "      "[:1+max(0, 5-len(inode))]...)
	b = append(b, inode...)
	if name := s.name.Load(); name != nil {
		b = append(b, ' ')
		b = append(b, strings.ReplaceAll(*name, "\x00", "@")...)
	}
	return append(b, '\n')
}
