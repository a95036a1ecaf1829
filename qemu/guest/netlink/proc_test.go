package netlink

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

// row returns the line of a file that contains text.
func row(t *testing.T, file, text string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, line := range strings.Split(string(b), "\n") {
		if strings.Contains(line, text) {
			return strings.Fields(line)
		}
	}
	require.Fail(t, "no such line", "%q in %s:\n%s", text, file, b)
	return nil
}

// inode returns the number of a socket's inode.
func inode(t *testing.T, c syscall.Conn) string {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	var st syscall.Stat_t
	require.NoError(t, raw.Control(func(fd uintptr) { err = syscall.Fstat(int(fd), &st) }))
	require.NoError(t, err)
	return fmt.Sprint(st.Ino)
}

// TestProcSockets finds sockets in the files of /proc/net, with the inodes by which tools find their
// owners.
func TestProcSockets(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	r := row(t, "/proc/net/tcp", fmt.Sprintf(" 0100007F:%04X 00000000:0000 0A ", port))
	assert.Equal(t, inode(t, l.(*net.TCPListener)), r[9])

	c, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	r = row(t, "/proc/net/tcp", fmt.Sprintf(":%04X 0100007F:%04X 01 ", c.LocalAddr().(*net.TCPAddr).Port, port))
	assert.Equal(t, inode(t, c.(*net.TCPConn)), r[9])
	s, err := l.Accept()
	require.NoError(t, err)
	defer s.Close()
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		r = row(t, "/proc/net/tcp", fmt.Sprintf(" 0100007F:%04X 0100007F:%04X 01 ", port, c.LocalAddr().(*net.TCPAddr).Port))
		assert.Equal(t, inode(t, s.(*net.TCPConn)), r[9])
		if r[4] == "00000000:00000005" { // received and not read
			break
		}
		require.True(t, time.Now().Before(deadline), "%q", r)
	}

	l6, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	defer l6.Close()
	r = row(t, "/proc/net/tcp6", fmt.Sprintf(" 00000000000000000000000000000000:%04X ", l6.Addr().(*net.TCPAddr).Port))
	assert.Equal(t, inode(t, l6.(*net.TCPListener)), r[9])
	c6, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", l6.Addr().(*net.TCPAddr).Port))
	require.NoError(t, err)
	defer c6.Close()
	s6, err := l6.Accept()
	require.NoError(t, err)
	defer s6.Close()
	r = row(t, "/proc/net/tcp6", fmt.Sprintf(" 0000000000000000FFFF00000100007F:%04X 0000000000000000FFFF00000100007F:", l6.Addr().(*net.TCPAddr).Port))
	assert.Equal(t, inode(t, s6.(*net.TCPConn)), r[9])

	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer u.Close()
	r = row(t, "/proc/net/udp", fmt.Sprintf(" 0100007F:%04X ", u.LocalAddr().(*net.UDPAddr).Port))
	assert.Equal(t, inode(t, u.(*net.UDPConn)), r[9])
	assert.Equal(t, "07", r[3])
	assert.NotEmpty(t, row(t, "/proc/net/sockstat", "TCP: inuse "))
}

// TestSocketDiag finds a connection by its addresses (sock_diag(7)).
func TestSocketDiag(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	s, err := netlink.SocketGet(c.LocalAddr(), c.RemoteAddr())
	require.NoError(t, err)
	assert.EqualValues(t, 1, s.State)
	assert.EqualValues(t, c.LocalAddr().(*net.TCPAddr).Port, s.ID.SourcePort)
	assert.Equal(t, inode(t, c.(*net.TCPConn)), fmt.Sprint(s.INode))
	all, err := netlink.SocketDiagTCP(syscall.AF_INET)
	require.NoError(t, err)
	listening := 0
	for _, s := range all {
		if s.State == 10 && int(s.ID.SourcePort) == l.Addr().(*net.TCPAddr).Port {
			listening++
		}
	}
	assert.Equal(t, 1, listening)
}

// TestMemberships: a group that a socket has joined is in /proc/net/igmp and igmp6, and leaves with it.
func TestMemberships(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	require.NoError(t, err)
	for network, group := range map[string]string{"udp4": "224.0.0.251", "udp6": "ff02::114"} {
		joined := func() (yes bool) {
			list, err := lo.MulticastAddrs()
			require.NoError(t, err)
			for _, a := range list {
				yes = yes || a.String() == group
			}
			return yes
		}
		c, err := net.ListenMulticastUDP(network, lo, &net.UDPAddr{IP: net.ParseIP(group), Port: 5300})
		require.NoError(t, err, network)
		assert.True(t, joined(), group)
		require.NoError(t, c.Close())
		assert.False(t, joined(), group)
	}
}
