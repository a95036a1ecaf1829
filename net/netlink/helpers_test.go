package netlink

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

// attribute returns an attribute as a request has it.
func attribute(typ uint16, value any) []byte {
	var m builder
	switch v := value.(type) {
	case []byte:
		m.attr(typ, v)
	case string:
		m.text(typ, v)
	default:
		var b bytes.Buffer
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
		m.attr(typ, b.Bytes())
	}
	return m.b
}

// message returns a request. header is the structure that the type has first.
func message(typ uint16, flags int, seq uint32, header any, attributes ...[]byte) []byte {
	var m builder
	m.begin(typ, unix.NLM_F_REQUEST|flags, seq, 0)
	if err := binary.Write(writer{&m}, binary.LittleEndian, header); err != nil {
		panic(err)
	}
	m.pad()
	for _, a := range attributes {
		m.b = append(m.b, a...)
	}
	m.end()
	return m.b
}

type writer struct{ m *builder }

func (w writer) Write(p []byte) (int, error) {
	w.m.b = append(w.m.b, p...)
	return len(p), nil
}

// receive returns the next datagram's messages, none if there is no datagram.
func receive(t *testing.T, s socket.Socket) []syscall.NetlinkMessage {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := s.Read(b)
	if err == syscall.EAGAIN {
		return nil
	}
	require.Zero(t, err)
	list, failure := syscall.ParseNetlinkMessage(b[:n])
	require.NoError(t, failure)
	return list
}

// ask sends a request and returns the answers up to the end of the list, or to the acknowledgement,
// whose error it returns.
func ask(t *testing.T, s socket.Socket, request []byte) ([]syscall.NetlinkMessage, syscall.Errno) {
	t.Helper()
	_, err := s.Write(request)
	require.Zero(t, err)
	var all []syscall.NetlinkMessage
	for {
		list := receive(t, s)
		require.NotEmpty(t, list, "no end of the answer")
		for _, m := range list {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return all, 0
			case unix.NLMSG_ERROR:
				return all, syscall.Errno(-int32(binary.LittleEndian.Uint32(m.Data)))
			}
			all = append(all, m)
		}
	}
}

// attributes returns a route message's attributes by type.
func attributes(t *testing.T, m syscall.NetlinkMessage) map[uint16][]byte {
	t.Helper()
	sizes := map[uint16]int{
		unix.RTM_NEWLINK: unix.SizeofIfInfomsg, unix.RTM_NEWADDR: unix.SizeofIfAddrmsg, unix.RTM_NEWROUTE: unix.SizeofRtMsg,
		unix.RTM_NEWNEIGH: unix.SizeofNdMsg, unix.RTM_NEWRULE: unix.SizeofRtMsg,
	}
	size, ok := sizes[m.Header.Type&^3]
	require.True(t, ok, "type %d", m.Header.Type)
	all := make(map[uint16][]byte)
	for b := m.Data[size:]; len(b) > 0; {
		n := int(binary.LittleEndian.Uint16(b))
		require.GreaterOrEqual(t, n, 4)
		require.LessOrEqual(t, n, len(b))
		all[binary.LittleEndian.Uint16(b[2:])] = b[4:n]
		b = b[min(align(n), len(b)):]
	}
	return all
}

func head[T any](m syscall.NetlinkMessage) T {
	v, _ := get[T](m.Data)
	return v
}

// dumpOf returns the list of a type.
func dumpOf(t *testing.T, s socket.Socket, typ uint16, family byte) []syscall.NetlinkMessage {
	t.Helper()
	list, err := ask(t, s, message(typ, unix.NLM_F_DUMP, 7, unix.RtGenmsg{Family: family}))
	require.Zero(t, err)
	return list
}

// wait returns the next datagram's messages, for which it waits.
func wait(t *testing.T, s socket.Socket) []syscall.NetlinkMessage {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if list := receive(t, s); list != nil {
			return list
		}
		require.True(t, time.Now().Before(deadline), "nothing arrives")
	}
}
