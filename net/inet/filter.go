package inet

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ICMP_FILTER of level SOL_RAW (raw(7), linux/icmp.h).
const (
	solRaw     = 255
	icmpFilter = 1
)

// filters decide which messages a program reads of those that its endpoint got.
type filters struct {
	active  atomic.Bool
	icmp    atomic.Uint32 // ICMP_FILTER: bits of the types that are not passed
	program atomic.Pointer[program]
}

func (d *datagram) updateFilters() {
	d.mu.Lock()
	d.updateFiltersLocked()
	d.mu.Unlock()
}

// updateFiltersLocked finds out whether messages need to be looked at. d.mu is held.
func (d *datagram) updateFiltersLocked() {
	active := d.filters.icmp.Load() != 0 || d.filters.program.Load() != nil
	for _, m := range d.memberships {
		active = active || m.include || len(m.sources) > 0
	}
	d.filters.active.Store(active)
	d.observeHeaders()
}

// attachFilter sets SO_ATTACH_FILTER.
func (d *datagram) attachFilter(value []byte) syscall.Errno {
	p, err := loadProgram(value)
	if err != 0 {
		return err
	}
	d.filters.program.Store(p)
	d.updateFilters()
	return 0
}

// detachFilter undoes attachFilter.
func (d *datagram) detachFilter() syscall.Errno {
	if d.filters.program.Swap(nil) == nil {
		return syscall.ENOENT
	}
	d.updateFilters()
	return 0
}

// packets keeps memory for whole messages.
var packets = sync.Pool{New: func() any { return new([maxPacket]byte) }}

// maxPacket is the size of the largest message, a UDP header before it included.
const maxPacket = 65536 + header.UDPMinimumSize

// readFiltered takes messages until one passes, and loses the others.
func (d *datagram) readFiltered(s *sink, o tcpip.ReadOptions) (tcpip.ReadResult, syscall.Errno) {
	memory := packets.Get().(*[maxPacket]byte)
	defer packets.Put(memory)
	front := 0
	if d.udp() {
		front = header.UDPMinimumSize
	}
	for {
		whole := sink{p: memory[front:], spill: true}
		r, err := d.readOne(&whole, tcpip.ReadOptions{Peek: o.Peek, NeedRemoteAddr: true})
		if err != 0 || !r.ControlMessages.HasTimestamp {
			return r, err
		}
		message := memory[:front+whole.n]
		pass, size := d.passes(message, front, &r)
		if pass {
			r.Total = size
			_, _ = s.Write(message[front : front+size])
			return r, 0
		}
		if o.Peek {
			var nothing sink
			nothing.spill = true
			if _, err := d.readOne(&nothing, tcpip.ReadOptions{}); err != 0 {
				return r, err
			}
		}
	}
}

// passes reports whether a message passes all filters and how much of its data the program's filter
// leaves. front is the room for a UDP header before the data.
func (d *datagram) passes(message []byte, front int, r *tcpip.ReadResult) (bool, int) {
	size := len(message) - front
	c := &r.ControlMessages
	group, nic := c.PacketInfo.DestinationAddr, c.PacketInfo.NIC
	if c.HasIPv6PacketInfo {
		group, nic = c.IPv6PacketInfo.Addr, c.IPv6PacketInfo.NIC
	}
	if multicast(group) && !d.hears(group, nic, unmapped(r.RemoteAddr.Addr)) {
		return false, 0
	}
	if mask := d.filters.icmp.Load(); mask != 0 && len(message) >= header.IPv4MinimumSize {
		if ip := header.IPv4(message); int(ip.HeaderLength()) < len(message) {
			if kind := message[ip.HeaderLength()]; kind < 32 && mask&(1<<kind) != 0 {
				return false, 0
			}
		}
	}
	p := d.filters.program.Load()
	if p == nil {
		return true, size
	}
	if front > 0 {
		local, _ := d.endpoint.GetLocalAddress()
		header.UDP(message).Encode(&header.UDPFields{SrcPort: r.RemoteAddr.Port, DstPort: local.Port, Length: uint16(len(message))})
	}
	n := p.run(message, packetMeta{length: len(message)})
	if n == 0 {
		return false, 0
	}
	return true, min(max(int(n)-front, 0), size)
}

// filterBytes returns f as struct icmp6_filter, whose set bits are types that are not passed.
func filterBytes(f *tcpip.ICMPv6Filter) (b [32]byte) {
	for i, w := range f.DenyType {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return b
}

// newICMPv6Filter reads a struct icmp6_filter.
func newICMPv6Filter(value []byte) *tcpip.ICMPv6Filter {
	var f tcpip.ICMPv6Filter
	for i := range f.DenyType {
		if len(value) >= 4*i+4 {
			f.DenyType[i] = binary.NativeEndian.Uint32(value[4*i:])
		}
	}
	return &f
}
