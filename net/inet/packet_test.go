package inet

import (
	"encoding/binary"
	"math/bits"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

// programBytes returns the struct sock_fprog of code.
func programBytes(code []unix.SockFilter) []byte {
	p := &unix.SockFprog{Len: uint16(len(code)), Filter: unsafe.SliceData(code)}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

// linkSockaddr returns a struct sockaddr_ll.
func linkSockaddr(protocol uint16, index int) []byte {
	var b [20]byte
	binary.NativeEndian.PutUint16(b[:], syscall.AF_PACKET)
	binary.BigEndian.PutUint16(b[2:], protocol)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return b[:]
}

const etherAll = int(syscall.ETH_P_ALL)

func networkOrder(protocol int) int { return int(bits.ReverseBytes16(uint16(protocol))) }

func TestPacketSockets(t *testing.T) {
	bothMachines(t, func(t *testing.T, m machine) {
		raw := open(t, m, syscall.AF_PACKET, syscall.SOCK_RAW, networkOrder(etherAll))
		cooked := open(t, m, syscall.AF_PACKET, syscall.SOCK_DGRAM, 0)
		assert.Equal(t, syscall.ENODEV, raw.bind(linkSockaddr(0, 99)))
		assert.Equal(t, syscall.EINVAL, raw.bind(linkSockaddr(0, 1)[:19]))
		require.Zero(t, raw.bind(linkSockaddr(syscall.ETH_P_ALL, 1)))
		require.Zero(t, cooked.bind(linkSockaddr(syscall.ETH_P_IP, 1)))
		a, e := raw.local()
		require.Zero(t, e)
		assert.Equal(t, append(linkSockaddr(syscall.ETH_P_ALL, 1)[:8], 4, 3, 0, 6, 0, 0, 0, 0, 0, 0), a, "hardware type 772, a MAC address of zeros")
		require.Zero(t, raw.setOption(unix.SOL_PACKET, unix.PACKET_AUXDATA, cint(1)))
		assert.Equal(t, syscall.EOPNOTSUPP, raw.connect(linkSockaddr(syscall.ETH_P_ALL, 1)))
		assert.Equal(t, syscall.EOPNOTSUPP, raw.listen(1))
		_, e = raw.peer()
		assert.Equal(t, syscall.EOPNOTSUPP, e)

		u := open(t, m, ip4, dgrams, 0)
		require.Zero(t, u.bind(sockaddr(ip4, "127.0.0.1:0")))
		to, _ := u.local()
		require.Zero(t, u.connect(to))
		_, e = u.write([]byte("captured"))
		require.Zero(t, e)

		is := func(front int, kind byte) func(m *message) bool {
			return func(m *message) bool {
				return len(m.data) == front+28+8 && string(m.data[front+28:]) == "captured" && m.name[10] == kind
			}
		}
		sent := until(t, raw, is(14, packetOutgoing))
		assert.Equal(t, append(make([]byte, 12), 8, 0), sent.data[:14], "an Ethernet header without addresses")
		assert.Equal(t, append(linkSockaddr(syscall.ETH_P_IP, 1)[:8], 4, 3, packetOutgoing, 6, 0, 0, 0, 0, 0, 0, 0, 0), sent.name)
		level, kind, data, _, ok, _ := socket.NextControl(sent.control)
		require.True(t, ok)
		assert.Equal(t, []int{unix.SOL_PACKET, unix.PACKET_AUXDATA, 50, 50, 0, 14},
			[]int{level, kind, int(binary.NativeEndian.Uint32(data[4:])), int(binary.NativeEndian.Uint32(data[8:])), int(binary.NativeEndian.Uint16(data[12:])), int(binary.NativeEndian.Uint16(data[14:]))})
		until(t, raw, is(14, packetHost))
		until(t, cooked, is(0, packetHost))
		v, e := cooked.getOption(unix.SOL_PACKET, unix.PACKET_STATISTICS, 8)
		require.Zero(t, e)
		assert.NotZero(t, binary.NativeEndian.Uint32(v))
		assert.Zero(t, binary.NativeEndian.Uint32(v[4:]))

		// A filter on the raw socket: packets to the port, cut to 40 bytes.
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 14 + 20 + 2},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(port(to))},
			{Code: unix.BPF_RET | unix.BPF_K, K: 40},
			{Code: unix.BPF_RET | unix.BPF_K},
		}
		require.Zero(t, raw.setOption(syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, programBytes(filter)))
		for {
			if _, e := raw.read(make([]byte, 2000)); e != 0 {
				break
			}
		}
		_, e = u.write([]byte("captured"))
		require.Zero(t, e)
		cut := until(t, raw, func(*message) bool { return true })
		assert.Len(t, cut.data, 40)
		assert.Equal(t, port(to), binary.BigEndian.Uint16(cut.data[36:]))

		// What a packet socket sends arrives.
		for {
			if _, e := u.read(make([]byte, 100)); e != 0 {
				break
			}
		}
		sent.data[14+20+6], sent.data[14+20+7] = 0, 0 // the sum that the device was to compute
		frame := append(make([]byte, 12), sent.data[12:]...)
		n, e := raw.send(&message{data: frame, name: linkSockaddr(syscall.ETH_P_IP, 1)}, 0)
		require.Zero(t, e)
		assert.Equal(t, len(frame), n)
		n, e = cooked.send(&message{data: sent.data[14:], name: linkSockaddr(syscall.ETH_P_IP, 1)}, 0)
		require.Zero(t, e)
		assert.Equal(t, len(frame)-14, n)
		// Linux takes loopback addresses on such a frame for an error (martians).
		for range 2 {
			if _, ok := m.(linux); ok {
				break
			}
			assert.Equal(t, "captured", string(until(t, u, func(*message) bool { return true }).data))
		}
		_, e = raw.send(&message{data: frame[:13], name: linkSockaddr(syscall.ETH_P_IP, 1)}, 0)
		assert.Equal(t, syscall.EINVAL, e)
		_, e = raw.send(&message{data: frame, name: linkSockaddr(syscall.ETH_P_IP, 99)}, 0)
		assert.Equal(t, syscall.ENXIO, e)
		_, e = cooked.send(&message{data: make([]byte, 70000), name: linkSockaddr(syscall.ETH_P_IP, 1)}, 0)
		assert.Equal(t, syscall.EMSGSIZE, e)
	})
}

func TestPromiscuous(t *testing.T) {
	s := newStack(t)
	var told []int
	was := Promiscuous
	Promiscuous = func(index int, on bool) syscall.Errno {
		told = append(told, index, toInt(on))
		return 0
	}
	defer func() { Promiscuous = was }()
	f, e := ours{s}.socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	require.Zero(t, e)
	request := make([]byte, 16)
	request[0], request[4] = 1, unix.PACKET_MR_PROMISC
	require.Zero(t, f.setOption(unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, request))
	require.Zero(t, f.setOption(unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, request))
	require.Zero(t, f.setOption(unix.SOL_PACKET, unix.PACKET_DROP_MEMBERSHIP, request))
	assert.Equal(t, []int{1, 1}, told)
	f.close()
	assert.Equal(t, []int{1, 1, 1, 0}, told, "closing takes it back")

	told = nil
	family := New(s, syscall.AF_PACKET)
	var two [2]socket.Socket
	for i := range two {
		two[i], e = family.Socket(syscall.SOCK_RAW, 0)
		require.Zero(t, e)
		require.Zero(t, two[i].SetOption(unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, request))
	}
	two[0].Close()
	assert.Equal(t, []int{1, 1}, told, "the other socket still wants it")
	require.Zero(t, two[1].SetOption(unix.SOL_PACKET, unix.PACKET_DROP_MEMBERSHIP, request))
	assert.Equal(t, syscall.EADDRNOTAVAIL, two[1].SetOption(unix.SOL_PACKET, unix.PACKET_DROP_MEMBERSHIP, request))
	two[1].Close()
	assert.Equal(t, []int{1, 1, 1, 0}, told)
}

// A program that wants one byte of each packet has no more of them wait than one that wants all.
func TestCutPacketsTakeTheirRoom(t *testing.T) {
	m := ours{newStack(t)}
	f := open(t, m, syscall.AF_PACKET, syscall.SOCK_DGRAM, networkOrder(syscall.ETH_P_IP))
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	require.Zero(t, f.setOption(syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, programBytes(filter)))
	u := open(t, m, ip4, dgrams, 0)
	for range 50 {
		_, e := u.send(&message{data: make([]byte, 60000), name: sockaddr(ip4, "127.0.0.1:9")}, 0)
		require.Zero(t, e)
	}
	waiting := 0
	for {
		n, e := f.read(make([]byte, 100))
		if e != 0 {
			break
		}
		assert.Equal(t, 1, n)
		waiting++
	}
	assert.NotZero(t, waiting)
	assert.Less(t, waiting, 10, "of 60,000 bytes each in a buffer of 212,992")
}
