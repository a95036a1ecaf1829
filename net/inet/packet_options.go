package inet

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// packetIgnoreOutgoing is PACKET_IGNORE_OUTGOING (linux/if_packet.h).
const packetIgnoreOutgoing = 23

// GetOption implements socket.Socket.
func (p *packetSocket) GetOption(level, name int, value []byte) (int, syscall.Errno) {
	switch level {
	case syscall.SOL_SOCKET:
		if name == syscall.SO_ERROR {
			return putInt(value, 0), 0
		}
		return p.getSocketOption(name, value)
	case unix.SOL_PACKET:
		p.mu.Lock()
		defer p.mu.Unlock()
		switch name {
		case unix.PACKET_STATISTICS:
			var b [8]byte // struct tpacket_stats
			binary.NativeEndian.PutUint32(b[:], p.received+p.dropped)
			binary.NativeEndian.PutUint32(b[4:], p.dropped)
			p.received, p.dropped = 0, 0
			return copy(value, b[:]), 0
		case unix.PACKET_AUXDATA:
			return putBool(value, p.auxiliary), 0
		case packetIgnoreOutgoing:
			return putBool(value, p.ignoreOutgoing), 0
		}
	}
	return 0, syscall.ENOPROTOOPT
}

// SetOption implements socket.Socket. Rings (PACKET_RX_RING) need mmap and are refused, as is fan-out.
func (p *packetSocket) SetOption(level, name int, value []byte) syscall.Errno {
	switch level {
	case syscall.SOL_SOCKET:
		return p.setSocketLevel(name, value)
	case unix.SOL_PACKET:
		switch name {
		case unix.PACKET_ADD_MEMBERSHIP, unix.PACKET_DROP_MEMBERSHIP:
			return p.setMembership(name == unix.PACKET_ADD_MEMBERSHIP, value)
		case unix.PACKET_AUXDATA, packetIgnoreOutgoing:
			v, err := getInt(value)
			if err != 0 {
				return err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if name == unix.PACKET_AUXDATA {
				p.auxiliary = v != 0
			} else {
				p.ignoreOutgoing = v != 0
			}
			return 0
		}
	}
	return syscall.ENOPROTOOPT
}

// setSocketLevel carries out setsockopt for level SOL_SOCKET.
func (p *packetSocket) setSocketLevel(name int, value []byte) syscall.Errno {
	switch name {
	case unix.SO_ATTACH_FILTER:
		f, err := loadProgram(value)
		if err != 0 {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.program = f
		return 0
	case unix.SO_DETACH_FILTER:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.program == nil {
			return syscall.ENOENT
		}
		p.program = nil
		return 0
	}
	if err := p.setSocketOption(name, value); err != 0 {
		return err
	}
	v, _ := getInt(value)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch name {
	case unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMP_NEW:
		p.stamp, p.stampNano = v != 0, false
	case unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMPNS_NEW:
		p.stamp, p.stampNano = false, v != 0
	case unix.SO_RXQ_OVFL:
		p.drops = v != 0
	}
	return 0
}

// setMembership carries out a struct packet_mreq: which more frames an interface receives.
func (p *packetSocket) setMembership(add bool, value []byte) syscall.Errno {
	if len(value) < 16 {
		return syscall.EINVAL
	}
	index, kind := int(int32(binary.NativeEndian.Uint32(value))), binary.NativeEndian.Uint16(value[4:])
	if !p.HasNIC(int32(index)) {
		return syscall.ENODEV
	}
	switch kind {
	case unix.PACKET_MR_MULTICAST, unix.PACKET_MR_UNICAST:
		return 0
	case unix.PACKET_MR_PROMISC, unix.PACKET_MR_ALLMULTI:
	default:
		return syscall.EINVAL
	}
	p.family.mu.Lock()
	defer p.family.mu.Unlock()
	if !add {
		if p.promiscuous[index] == 0 {
			return syscall.EADDRNOTAVAIL
		}
		p.promiscuous[index]--
		return p.family.wantAll(index, -1)
	}
	if err := p.family.wantAll(index, 1); err != 0 {
		return err
	}
	if p.promiscuous == nil {
		p.promiscuous = make(map[int]int)
	}
	p.promiscuous[index]++
	return 0
}

// wantAll counts how often sockets ask for the frames for others on an interface, and tells Promiscuous
// when the first does and when none does any longer. f.mu is held.
func (f *packetFamily) wantAll(index, change int) syscall.Errno {
	was := f.promiscuous[index]
	n := was + change
	err := syscall.Errno(0)
	if (was == 0) != (n == 0) {
		err = Promiscuous(index, n != 0)
	}
	if err != 0 && n != 0 {
		return err
	}
	if f.promiscuous == nil {
		f.promiscuous = make(map[int]int)
	}
	f.promiscuous[index] = n
	return err
}
