package inet

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

// took returns the events that f was notified of since the last call, after those of want have come.
func took(f fd, want uint32) uint32 {
	o := f.(*ourFD)
	get := func() uint32 {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.edges
	}
	eventually(func() bool { return get()&want == want })
	o.mu.Lock()
	defer o.mu.Unlock()
	got := o.edges
	o.edges = 0
	return got & polled
}

func TestEveryChangeIsNotified(t *testing.T) {
	m := ours{newStack(t)}
	l := open(t, m, ip4, streams, 0)
	require.Zero(t, l.bind(sockaddr(ip4, "127.0.0.1:0")))
	require.Zero(t, l.listen(5))
	to, _ := l.local()
	a := open(t, m, ip4, streams, 0)
	require.Equal(t, syscall.EINPROGRESS, a.connect(to))
	assert.Equal(t, "[OUT]", eventList(took(a, out)), "a connection is made")
	assert.Equal(t, "[IN]", eventList(took(l, in)), "it can be accepted")
	b, _, e := l.accept()
	require.Zero(t, e)
	t.Cleanup(b.close)

	for range 3 {
		_, e = a.write([]byte("more"))
		require.Zero(t, e)
		assert.Equal(t, "[IN]", eventList(took(b, in)), "data arrive, though earlier ones were not read")
	}
	p := make([]byte, 4)
	for range 3 {
		n, e := b.read(p)
		require.Zero(t, e)
		require.Equal(t, 4, n, "a read of all that fits does not hide what is left")
	}
	_, e = b.read(p)
	require.Equal(t, syscall.EAGAIN, e)

	big := make([]byte, 1<<20)
	for e = 0; e == 0; {
		_, e = a.write(big)
	}
	require.Equal(t, syscall.EAGAIN, e)
	took(a, 0)
	for e = 0; e == 0; {
		_, e = b.read(big)
	}
	eventually(func() bool { _, e := b.read(big); return a.poll()&out != 0 && e == syscall.EAGAIN })
	assert.Equal(t, "[OUT]", eventList(took(a, out)), "there is room again")

	took(b, 0)
	require.Zero(t, a.shutdown(wr))
	assert.Equal(t, "[IN RDHUP]", eventList(took(b, in|socket.RdHup)), "the peer's end")
	require.Zero(t, b.shutdown(wr))
	assert.Equal(t, hup|in|socket.RdHup, took(a, hup|in|socket.RdHup)&(hup|in|socket.RdHup), "both ends")

	gone := open(t, m, ip4, streams, 0)
	require.Zero(t, gone.bind(sockaddr(ip4, "127.0.0.1:0")))
	to, _ = gone.local()
	c := open(t, m, ip4, streams, 0)
	require.Equal(t, syscall.EINPROGRESS, c.connect(to))
	want := uint32(in | out | socket.Err | hup)
	assert.Equal(t, want, took(c, want)&want, "a refusal")
}

func TestDatagramsAreNotified(t *testing.T) {
	m := ours{newStack(t)}
	b := open(t, m, ip4, dgrams, 0)
	require.Zero(t, b.bind(sockaddr(ip4, "127.0.0.1:0")))
	to, _ := b.local()
	a := open(t, m, ip4, dgrams, 0)
	require.Zero(t, a.connect(to))
	p := make([]byte, 10)
	for range 3 {
		_, e := b.read(p)
		require.Equal(t, syscall.EAGAIN, e)
		_, e = a.write([]byte("x"))
		require.Zero(t, e)
		assert.Equal(t, in, took(b, in)&in)
		_, e = b.read(p)
		require.Zero(t, e)
	}
	b.close()
	_, e := a.write([]byte("x"))
	require.Zero(t, e)
	assert.Equal(t, uint32(socket.Err), took(a, socket.Err)&socket.Err, "the port is gone")
	require.Zero(t, a.shutdown(rw))
	assert.Equal(t, hup|in, took(a, hup|in)&(hup|in))
}

func TestListeningIsAnnounced(t *testing.T) {
	var lines []string
	was := socket.NotifyHost
	socket.NotifyHost = func(line string) { lines = append(lines, line) }
	defer func() { socket.NotifyHost = was }()
	m := ours{newStack(t)}
	for _, c := range []struct {
		domain   int
		at, want string
	}{
		{ip4, "0.0.0.0:8080", "listen tcp 0.0.0.0:8080"}, {ip6, "[::]:8081", "listen tcp [::]:8081"},
		{ip4, "127.0.0.1:8082", ""}, {ip6, "[::1]:8083", ""}, {ip6, "[::ffff:127.0.0.1]:8084", ""}, {ip4, "0.0.0.0:0", "listen tcp 0.0.0.0:"},
	} {
		lines = nil
		f := open(t, m, c.domain, streams, 0)
		require.Zero(t, f.bind(sockaddr(c.domain, c.at)))
		assert.Empty(t, lines, "binding is not listening")
		require.Zero(t, f.listen(1))
		require.Zero(t, f.listen(2), "a second time it is not said again")
		if c.want == "" {
			assert.Empty(t, lines, c.at)
			continue
		}
		require.Len(t, lines, 1, c.at)
		assert.True(t, strings.HasPrefix(lines[0], c.want), lines[0])
	}
	u := open(t, m, ip4, dgrams, 0)
	lines = nil
	require.Zero(t, u.bind(sockaddr(ip4, "0.0.0.0:53")))
	assert.Empty(t, lines)
}
