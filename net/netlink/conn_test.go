package netlink

import (
	"encoding/binary"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

func nladdr(port, groups uint32) []byte {
	var a socket.Address
	setAddress(&a, port, groups)
	return a.Bytes()
}

func TestSocketKinds(t *testing.T) {
	f := newFamily(t, false)
	for _, kind := range []int{syscall.SOCK_RAW, syscall.SOCK_DGRAM} {
		s, err := f.Socket(kind, unix.NETLINK_ROUTE)
		require.Zero(t, err)
		domain, k, protocol := s.Kind()
		assert.Equal(t, []int{syscall.AF_NETLINK, kind, unix.NETLINK_ROUTE}, []int{domain, k, protocol})
		s.Close()
	}
	_, err := f.Socket(syscall.SOCK_STREAM, unix.NETLINK_ROUTE)
	assert.Equal(t, syscall.ESOCKTNOSUPPORT, err)
	for _, protocol := range []int{unix.NETLINK_AUDIT, unix.NETLINK_NETFILTER, 17, 100, -1} {
		_, err = f.Socket(syscall.SOCK_RAW, protocol)
		assert.Equal(t, syscall.EPROTONOSUPPORT, err, "protocol %d", protocol)
	}
}

func TestBind(t *testing.T) {
	f := newFamily(t, false)
	a, b, c := dial(t, f, unix.NETLINK_ROUTE), dial(t, f, unix.NETLINK_ROUTE), dial(t, f, unix.NETLINK_ROUTE)
	name := func(s *conn) unix.RawSockaddrNetlink {
		var at socket.Address
		require.Zero(t, s.LocalAddress(&at))
		n, err := address(at.Bytes())
		require.Zero(t, err)
		return n
	}
	assert.Zero(t, name(a).Pid)
	require.Zero(t, a.Bind(nladdr(0, 0)))
	assert.EqualValues(t, os.Getpid(), name(a).Pid, "the first socket of a process has its ID")
	require.Zero(t, a.Bind(nladdr(0, 5)), "again, for other groups")
	assert.EqualValues(t, 5, name(a).Groups)
	assert.Equal(t, syscall.EINVAL, a.Bind(nladdr(77, 0)))

	require.Zero(t, b.Bind(nladdr(0, 0)))
	assert.Negative(t, int32(name(b).Pid))
	assert.Equal(t, syscall.EADDRINUSE, c.Bind(nladdr(name(b).Pid, 0)))
	require.Zero(t, c.Bind(nladdr(4711, 0)))
	assert.EqualValues(t, 4711, name(c).Pid)
	other := dial(t, f, unix.NETLINK_GENERIC)
	assert.Zero(t, other.Bind(nladdr(4711, 0)), "another protocol has ports of its own")

	c.Close()
	again := dial(t, f, unix.NETLINK_ROUTE)
	assert.Zero(t, again.Bind(nladdr(4711, 0)))
	assert.Equal(t, syscall.EINVAL, again.Bind(nladdr(4711, 0)[:8]))
	wrong := nladdr(4711, 0)
	wrong[0] = syscall.AF_INET
	assert.Equal(t, syscall.EINVAL, again.Bind(wrong))
	assert.Equal(t, syscall.EOPNOTSUPP, again.Listen(1))
	assert.Equal(t, syscall.EOPNOTSUPP, again.Shutdown(syscall.SHUT_RD))
	_, err := again.Accept(nil)
	assert.Equal(t, syscall.EOPNOTSUPP, err)
}

// TestReceive reads one answer in all the ways of recvmsg(2).
func TestReceive(t *testing.T) {
	f := newFamily(t, false)
	c := dial(t, f, unix.NETLINK_ROUTE)
	_, err := c.Read(make([]byte, 10))
	assert.Equal(t, syscall.EAGAIN, err)
	assert.EqualValues(t, socket.Out|socket.WrNorm, c.Ready())

	var events uint32
	c.Watch(func(e uint32) { events |= e })
	request := message(unix.RTM_GETLINK, 0, 99, unix.IfInfomsg{Index: 1})
	n, err := c.Write(request)
	require.Zero(t, err)
	assert.Equal(t, len(request), n)
	assert.EqualValues(t, socket.In|socket.RdNorm, events)
	assert.EqualValues(t, socket.In|socket.RdNorm|socket.Out|socket.WrNorm, c.Ready())

	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_PKTINFO, []byte{1, 0, 0, 0}))
	require.Zero(t, c.SetOption(syscall.SOL_SOCKET, syscall.SO_PASSCRED, []byte{1, 0, 0, 0}))
	head, tail := make([]byte, 16), make([]byte, 4)
	m := socket.Message{Parts: [][]byte{head, nil, tail}, WantName: true, Control: make([]byte, 0, 100)}
	whole, err := c.Receive(&m, syscall.MSG_PEEK|syscall.MSG_TRUNC)
	require.Zero(t, err)
	assert.Equal(t, syscall.MSG_TRUNC, m.Flags)
	assert.EqualValues(t, binary.LittleEndian.Uint32(head), whole, "the real length")
	assert.Equal(t, nladdr(0, 0), m.Name.Bytes())
	control, failure := syscall.ParseSocketControlMessage(m.Control)
	require.NoError(t, failure)
	require.Len(t, control, 2)
	assert.EqualValues(t, syscall.SCM_CREDENTIALS, control[0].Header.Type)
	assert.Equal(t, make([]byte, syscall.SizeofUcred), control[0].Data)
	assert.EqualValues(t, unix.NETLINK_PKTINFO, control[1].Header.Type)

	m = socket.Message{Parts: [][]byte{head, tail}, Control: make([]byte, 0, 20)}
	n, err = c.Receive(&m, syscall.MSG_PEEK)
	require.Zero(t, err)
	assert.Equal(t, 20, n)
	assert.Equal(t, syscall.MSG_TRUNC|syscall.MSG_CTRUNC, m.Flags)
	b := make([]byte, 4096)
	n, err = c.Read(b)
	require.Zero(t, err)
	assert.Equal(t, whole, n)
	assert.Equal(t, append(head, tail...), b[:20])
	list, failure := syscall.ParseNetlinkMessage(b[:n])
	require.NoError(t, failure)
	require.Len(t, list, 1)
	assert.EqualValues(t, 99, list[0].Header.Seq)
	assert.EqualValues(t, c.portID(), list[0].Header.Pid)
	assert.Zero(t, list[0].Header.Flags)
	_, err = c.Read(b)
	assert.Equal(t, syscall.EAGAIN, err)
	_, err = c.Receive(&m, syscall.MSG_OOB)
	assert.Equal(t, syscall.EOPNOTSUPP, err)
}

// TestAcknowledgement looks at the bytes of acknowledgements as netlink(7) has them.
func TestAcknowledgement(t *testing.T) {
	f := newFamily(t, false)
	c := dial(t, f, unix.NETLINK_ROUTE)
	set := func(option int) { require.Zero(t, c.SetOption(unix.SOL_NETLINK, option, []byte{1, 0, 0, 0})) }
	exchange := func(request []byte) syscall.NetlinkMessage {
		_, err := c.Write(request)
		require.Zero(t, err)
		list := receive(t, c)
		require.Len(t, list, 1)
		assert.EqualValues(t, unix.NLMSG_ERROR, list[0].Header.Type)
		return list[0]
	}
	good := message(unix.RTM_SETLINK, unix.NLM_F_ACK, 3, unix.IfInfomsg{Index: 1})
	m := exchange(good)
	assert.EqualValues(t, unix.NLM_F_CAPPED, m.Header.Flags)
	assert.EqualValues(t, 3, m.Header.Seq)
	assert.Equal(t, append([]byte{0, 0, 0, 0}, good[:16]...), m.Data)

	bad := message(unix.RTM_SETLINK, 0, 4, unix.IfInfomsg{Index: 1}, attribute(unix.IFLA_IFNAME, "new"))
	errno := []byte{0xa1, 0xff, 0xff, 0xff} // -EOPNOTSUPP
	m = exchange(bad)
	assert.Zero(t, m.Header.Flags)
	assert.Equal(t, append(errno, bad...), m.Data, "an error comes with the request")

	set(unix.NETLINK_EXT_ACK)
	m = exchange(bad)
	assert.EqualValues(t, unix.NLM_F_ACK_TLVS, m.Header.Flags)
	assert.Equal(t, append(append(errno[:4:4], bad...), attribute(unix.NLMSGERR_ATTR_MSG, "only the flags and the MTU of a link can be changed")...), m.Data)
	set(unix.NETLINK_CAP_ACK)
	m = exchange(bad)
	assert.EqualValues(t, unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, m.Header.Flags)
	assert.Equal(t, append(errno[:4:4], bad[:16]...), m.Data[:20])

	// Several requests in one datagram, one of them no request.
	noRequest := message(unix.RTM_SETLINK, 0, 5, unix.IfInfomsg{Index: 1})
	binary.LittleEndian.PutUint16(noRequest[6:], 0)
	_, err := c.Write(append(append(append([]byte(nil), good...), noRequest...), bad...))
	require.Zero(t, err)
	assert.EqualValues(t, 3, receive(t, c)[0].Header.Seq)
	assert.EqualValues(t, 4, receive(t, c)[0].Header.Seq)
	assert.Empty(t, receive(t, c))
}

// TestGarbage: what is no message is not answered, and what is too short is refused.
func TestGarbage(t *testing.T) {
	f := newFamily(t, true)
	for _, protocol := range []int{unix.NETLINK_ROUTE, unix.NETLINK_GENERIC, unix.NETLINK_SOCK_DIAG, unix.NETLINK_KOBJECT_UEVENT} {
		c := dial(t, f, protocol)
		_, err := c.Write(nil)
		assert.Equal(t, syscall.ENODATA, err)
		for _, b := range [][]byte{{1}, make([]byte, 16), make([]byte, 100), {255, 255, 255, 255, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
			_, err = c.Write(b)
			assert.Zero(t, err)
			assert.Empty(t, receive(t, c))
		}
		whole := message(0, unix.NLM_F_ACK, 1, [64]byte{syscall.AF_INET}, attribute(1, make([]byte, 100)))
		for typ := uint16(0); typ < 130; typ++ {
			for _, flags := range []uint16{unix.NLM_F_REQUEST | unix.NLM_F_ACK, unix.NLM_F_REQUEST | unix.NLM_F_DUMP, unix.NLM_F_REQUEST | unix.NLM_F_CREATE} {
				for n := 16; n < len(whole); n += 7 {
					binary.LittleEndian.PutUint32(whole, uint32(n))
					binary.LittleEndian.PutUint16(whole[4:], typ)
					binary.LittleEndian.PutUint16(whole[6:], flags)
					_, err := c.Write(whole[:n])
					assert.Zero(t, err)
					for receive(t, c) != nil {
					}
				}
			}
		}
		_, err = c.Write(make([]byte, defaultBuffer))
		assert.Equal(t, syscall.EMSGSIZE, err)
	}
}

// TestListInParts reads a long list with a small buffer: all parts fit, and nothing is missing.
func TestListInParts(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	const n = 300
	for i := range n {
		_, err := ask(t, c, message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_ACK, 1,
			unix.RtMsg{Family: syscall.AF_INET, Dst_len: 24, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Scope: unix.RT_SCOPE_LINK},
			attribute(unix.RTA_DST, []byte{10, byte(i >> 8), byte(i), 0}), attribute(unix.RTA_OIF, uint32(2))))
		require.Zero(t, err)
	}
	c = dial(t, f, unix.NETLINK_ROUTE) // which has not seen a larger buffer
	_, err := c.Write(message(unix.RTM_GETROUTE, unix.NLM_F_DUMP, 8, unix.RtMsg{Family: syscall.AF_INET}))
	require.Zero(t, err)
	found, parts := 0, 0
	for done := false; !done; parts++ {
		b := make([]byte, 4096)
		size, err := c.Read(b)
		require.Zero(t, err)
		assert.Less(t, size, len(b))
		list, failure := syscall.ParseNetlinkMessage(b[:size])
		require.NoError(t, failure)
		for _, m := range list {
			assert.EqualValues(t, unix.NLM_F_MULTI, m.Header.Flags)
			assert.EqualValues(t, 8, m.Header.Seq)
			if m.Header.Type == unix.NLMSG_DONE {
				done = true
				assert.Equal(t, make([]byte, 4), m.Data)
			} else if head[unix.RtMsg](m).Dst_len == 24 {
				found++
			}
		}
		if parts == 0 {
			_, err := c.Write(message(unix.RTM_GETROUTE, unix.NLM_F_DUMP, 9, unix.RtMsg{}))
			require.Zero(t, err)
			if failed := receiveError(t, c); assert.NotNil(t, failed) {
				assert.Equal(t, syscall.EBUSY, *failed, "the first list is not at its end")
			}
		}
	}
	assert.Equal(t, n, found)
	assert.GreaterOrEqual(t, parts, 4)
	assert.Len(t, dumpOf(t, c, unix.RTM_GETLINK, 0), 2, "and then another list")
}

// receiveError reads up to an acknowledgement and returns its error, nil if none comes; what it
// reads before is put back.
func receiveError(t *testing.T, c *conn) *syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, d := range c.queue {
		list, err := syscall.ParseNetlinkMessage(d.data)
		require.NoError(t, err)
		if list[0].Header.Type == unix.NLMSG_ERROR {
			c.queue = append(c.queue[:i:i], c.queue[i+1:]...)
			e := syscall.Errno(-int32(binary.LittleEndian.Uint32(list[0].Data)))
			return &e
		}
	}
	return nil
}

// TestBetweenSockets sends datagrams from one socket to another, and to a group.
func TestBetweenSockets(t *testing.T) {
	f := newFamily(t, false)
	a, b := dial(t, f, unix.NETLINK_KOBJECT_UEVENT), dial(t, f, unix.NETLINK_KOBJECT_UEVENT)
	require.Zero(t, a.Bind(nladdr(10, 0)))
	require.Zero(t, b.Bind(nladdr(20, 2)))
	send := func(port, groups uint32) syscall.Errno {
		m := socket.Message{Parts: [][]byte{[]byte("hel"), []byte("lo")}}
		m.Name.Set(nladdr(port, groups))
		_, err := a.Send(&m, 0)
		return err
	}
	get := func() (string, unix.RawSockaddrNetlink) {
		p := make([]byte, 10)
		m := socket.Message{Parts: [][]byte{p}, WantName: true}
		n, err := b.Receive(&m, 0)
		require.Zero(t, err)
		from, err := address(m.Name.Bytes())
		require.Zero(t, err)
		return string(p[:n]), from
	}
	require.Zero(t, send(20, 0))
	text, from := get()
	assert.Equal(t, "hello", text)
	assert.EqualValues(t, 10, from.Pid)
	assert.Zero(t, from.Groups)
	assert.Equal(t, syscall.ECONNREFUSED, send(30, 0))
	require.Zero(t, send(0, 2))
	text, from = get()
	assert.Equal(t, "hello", text)
	assert.EqualValues(t, 2, from.Groups)

	require.Zero(t, a.Connect(nladdr(20, 0)))
	var peer socket.Address
	require.Zero(t, a.PeerAddress(&peer))
	assert.Equal(t, nladdr(20, 0), peer.Bytes())
	_, err := a.Write([]byte("again"))
	require.Zero(t, err)
	text, _ = get()
	assert.Equal(t, "again", text)
	require.Zero(t, a.Connect([]byte{0, 0}))
	require.Zero(t, a.PeerAddress(&peer))
	assert.Equal(t, nladdr(0, 0), peer.Bytes())
}

// TestListsUnread asks for list after list without reading any: what waits is bounded.
func TestListsUnread(t *testing.T) {
	f := newFamily(t, false)
	c := dial(t, f, unix.NETLINK_ROUTE)
	for range 2000 {
		_, err := c.Write(message(unix.RTM_GETRULE, unix.NLM_F_DUMP, 7, unix.RtGenmsg{}))
		require.Zero(t, err)
	}
	assert.Less(t, c.waiting, defaultBuffer+2*maxPart)
	_, err := c.Read(make([]byte, 1000))
	assert.Equal(t, syscall.ENOBUFS, err)
	for receive(t, c) != nil {
	}
	assert.NotEmpty(t, dumpOf(t, c, unix.RTM_GETRULE, 0))
}

// TestUseAfterClose has a goroutine still at work on a socket that another one has closed.
func TestUseAfterClose(t *testing.T) {
	f := newFamily(t, false)
	c := dial(t, f, unix.NETLINK_ROUTE)
	require.Zero(t, c.Bind(nladdr(0, unix.RTMGRP_LINK)))
	c.Close()
	assert.Equal(t, syscall.EBADF, c.Bind(nladdr(40, unix.RTMGRP_LINK)))
	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, []byte{unix.RTNLGRP_LINK, 0, 0, 0}))
	assert.Empty(t, c.bus.conns)
	assert.Empty(t, c.bus.joined)
	assert.False(t, c.bus.watched())
	assert.Nil(t, f.known)
}

func TestOptions(t *testing.T) {
	f := newFamily(t, false)
	c := dial(t, f, unix.NETLINK_ROUTE)
	get := func(level, name int) (uint32, syscall.Errno) {
		var b [4]byte
		n, err := c.GetOption(level, name, b[:])
		if err == 0 {
			assert.Equal(t, 4, n)
		}
		return binary.LittleEndian.Uint32(b[:]), err
	}
	one := []byte{1, 0, 0, 0}
	for _, name := range []int{unix.NETLINK_PKTINFO, unix.NETLINK_NO_ENOBUFS, unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK} {
		v, err := get(unix.SOL_NETLINK, name)
		assert.Zero(t, v)
		assert.Zero(t, err)
		require.Zero(t, c.SetOption(unix.SOL_NETLINK, name, one))
		v, _ = get(unix.SOL_NETLINK, name)
		assert.EqualValues(t, 1, v)
		require.Zero(t, c.SetOption(unix.SOL_NETLINK, name, make([]byte, 4)))
		v, _ = get(unix.SOL_NETLINK, name)
		assert.Zero(t, v)
	}
	assert.Equal(t, syscall.EINVAL, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, one[:3]))
	assert.Equal(t, syscall.ENOPROTOOPT, c.SetOption(unix.SOL_NETLINK, 77, one))
	_, err := get(unix.SOL_NETLINK, 77)
	assert.Equal(t, syscall.ENOPROTOOPT, err)

	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, []byte{unix.RTNLGRP_IPV6_IFADDR, 0, 0, 0}))
	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, []byte{unix.RTNLGRP_STATS, 0, 0, 0}))
	assert.Equal(t, syscall.EINVAL, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, []byte{200, 0, 0, 0}))
	groups := make([]byte, 16)
	n, err := c.GetOption(unix.SOL_NETLINK, unix.NETLINK_LIST_MEMBERSHIPS, groups)
	require.Zero(t, err)
	assert.Equal(t, []byte{0, 1, 0, 0, 8, 0, 0, 0}, groups[:n])
	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, []byte{unix.RTNLGRP_STATS, 0, 0, 0}))
	assert.EqualValues(t, 0x100, c.groups.Load())

	require.Zero(t, c.SetOption(syscall.SOL_SOCKET, syscall.SO_RCVBUF, []byte{0, 0, 1, 0}))
	v, _ := get(syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	assert.EqualValues(t, 2<<16, v)
	require.Zero(t, c.SetOption(syscall.SOL_SOCKET, syscall.SO_RCVBUF, make([]byte, 4)))
	v, _ = get(syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	assert.EqualValues(t, minBuffer, v)
	require.Zero(t, c.SetOption(syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, []byte{0, 0, 0, 4}))
	v, _ = get(syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	assert.EqualValues(t, 128<<20, v)
}
