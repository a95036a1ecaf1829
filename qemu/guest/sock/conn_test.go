package sock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

// names are a name in the file system and one that is not.
func names(t *testing.T) []string {
	return []string{filepath.Join(t.TempDir(), "socket"), "@sock" + t.Name()}
}

// connect returns both ends of a connection over the network and name.
func connect(network, name string) (client, server net.Conn, stop func(), err error) {
	l, err := net.Listen(network, name)
	if err != nil {
		return nil, nil, nil, err
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	client, err = net.Dial(network, l.Addr().String())
	if err != nil {
		l.Close()
		return nil, nil, nil, err
	}
	server = <-accepted
	return client, server, func() {
		client.Close()
		server.Close()
		l.Close()
	}, nil
}

func pair(t *testing.T, network string) (client, server net.Conn) {
	t.Helper()
	client, server, stop, err := connect(network, filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	t.Cleanup(stop)
	return client, server
}

func TestConn(t *testing.T) {
	check := func(network, name string) {
		t.Run(network+" "+name[:1], func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) { return connect(network, name) })
		})
	}
	for _, name := range names(t) {
		check("unix", name)
	}
	check("tcp4", "127.0.0.1:0")
	check("tcp6", "[::1]:0")
}

func TestNamesOfConnections(t *testing.T) {
	for _, name := range names(t) {
		for _, network := range []string{"unix", "unixpacket"} {
			l, err := net.Listen(network, name)
			require.NoError(t, err)
			assert.Equal(t, name, l.Addr().String())
			_, err = net.Listen(network, name)
			assert.ErrorIs(t, err, syscall.EADDRINUSE)
			c, err := net.Dial(network, name)
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			assert.Equal(t, name, c.RemoteAddr().String())
			assert.Equal(t, name, s.LocalAddr().String())
			assert.Contains(t, []string{"", "@"}, c.LocalAddr().String())
			assert.Contains(t, []string{"", "@"}, s.RemoteAddr().String())
			c.Close()
			s.Close()
			require.NoError(t, l.Close())
			if name[0] == '/' {
				assert.NoFileExists(t, name)
			}
			_, err = net.Dial(network, name)
			assert.Error(t, err)
		}
	}
}

func TestMuchData(t *testing.T) {
	for _, network := range []string{"unix", "unixpacket"} {
		client, server := pair(t, network)
		sent, received := sha256.New(), sha256.New()
		go func() {
			source := rand.New(rand.NewPCG(1, 2))
			b := make([]byte, 70000)
			for range 300 {
				p := b[:1+source.IntN(len(b)-1)]
				for i := range p {
					p[i] = byte(source.Uint32())
				}
				if n, err := client.Write(p); err != nil || n != len(p) {
					t.Errorf("%d of %d bytes written: %v", n, len(p), err)
				}
				sent.Write(p)
			}
			client.Close()
		}()
		_, err := io.CopyBuffer(received, struct{ io.Reader }{server}, make([]byte, 70000))
		require.NoError(t, err)
		assert.Equal(t, sent.Sum(nil), received.Sum(nil))
	}
}

// TestCopyBetweenConnections goes by splice and sendfile, where there are such.
func TestCopyBetweenConnections(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	require.NoError(t, os.WriteFile(file, data, 0o600))

	c1, s1 := pair(t, "unix")
	c2, s2 := pair(t, "unix")
	go func() {
		f, err := os.Open(file)
		assert.NoError(t, err)
		defer f.Close()
		n, err := io.Copy(c1, f)
		assert.NoError(t, err)
		assert.Equal(t, int64(len(data)), n)
		c1.(*net.UnixConn).CloseWrite()
	}()
	go func() {
		n, err := io.Copy(c2, s1)
		assert.NoError(t, err)
		assert.Equal(t, int64(len(data)), n)
		c2.(*net.UnixConn).CloseWrite()
	}()
	got, err := io.ReadAll(s2)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
	n, err := s2.Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.Equal(t, io.EOF, err)
	_, err = s2.Write([]byte("back"))
	assert.NoError(t, err)
	b := make([]byte, 10)
	n, err = c2.Read(b)
	assert.NoError(t, err)
	assert.Equal(t, "back", string(b[:n]))
}

func TestCloseWakes(t *testing.T) {
	for _, network := range []string{"unix", "unixpacket"} {
		client, server := pair(t, network)
		failed := make(chan error)
		go func() {
			_, err := server.Read(make([]byte, 10))
			failed <- err
		}()
		go func() {
			for {
				if _, err := server.Write(make([]byte, 10000)); err != nil {
					failed <- err
					return
				}
			}
		}()
		time.Sleep(20 * time.Millisecond)
		require.NoError(t, server.Close())
		assert.ErrorIs(t, <-failed, net.ErrClosed)
		assert.ErrorIs(t, <-failed, net.ErrClosed)
		_, err := io.Copy(io.Discard, client)
		assert.NoError(t, err)
		_, err = client.Write([]byte("x"))
		assert.ErrorIs(t, err, syscall.EPIPE)
	}

	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "l"))
	require.NoError(t, err)
	failed := make(chan error)
	go func() {
		_, err := l.Accept()
		failed <- err
	}()
	time.Sleep(20 * time.Millisecond)
	l.Close()
	assert.ErrorIs(t, <-failed, net.ErrClosed)
}

func TestReset(t *testing.T) {
	client, server := pair(t, "unix")
	_, err := client.Write([]byte("never read"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	_, err = client.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestManyConnections: connections that come and go leave no descriptor behind.
func TestManyConnections(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", name)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, struct{ io.Reader }{c})
				c.Close()
			}()
		}
	}()
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := open()
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			for j := range 40 {
				c, err := net.Dial("unix", name)
				if !assert.NoError(t, err) {
					return
				}
				text := fmt.Sprint(i, j)
				io.WriteString(c, text)
				c.(*net.UnixConn).CloseWrite()
				b, err := io.ReadAll(c)
				assert.NoError(t, err)
				assert.Equal(t, text, string(b))
				c.Close()
			}
		})
	}
	group.Wait()
	assert.Eventually(t, func() bool { return open() <= before }, 5*time.Second, 10*time.Millisecond)
}

func TestDatagrams(t *testing.T) {
	dir := t.TempDir()
	a, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "a"), Net: "unixgram"})
	require.NoError(t, err)
	defer a.Close()
	b, err := net.DialUnix("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "b"), Net: "unixgram"},
		&net.UnixAddr{Name: filepath.Join(dir, "a"), Net: "unixgram"})
	require.NoError(t, err)
	defer b.Close()
	const count = 5000
	go func() {
		for i := range count { // more than fit: waits for the receiver
			fmt.Fprint(b, i)
		}
	}()
	buf := make([]byte, 100)
	for i := range count {
		n, from, err := a.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(buf[:n]))
		require.Equal(t, filepath.Join(dir, "b"), from.String())
	}
	_, err = a.WriteTo([]byte("answer"), b.LocalAddr())
	require.NoError(t, err)
	n, err := b.Read(buf)
	require.NoError(t, err)
	assert.Equal(t, "answer", string(buf[:n]))

	require.NoError(t, a.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, _, err = a.ReadFrom(buf)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	a.Close()
	_, err = b.Write([]byte("x"))
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestPackets(t *testing.T) {
	client, server := pair(t, "unixpacket")
	for _, text := range []string{"one", "two", "three"} {
		_, err := io.WriteString(client, text)
		require.NoError(t, err)
	}
	b := make([]byte, 4)
	for _, want := range []string{"one", "two", "thre"} {
		n, err := server.Read(b)
		require.NoError(t, err)
		assert.Equal(t, want, string(b[:n]))
	}
	client.Close()
	_, err := server.Read(b)
	assert.Equal(t, io.EOF, err)
}

func TestFileOfConnection(t *testing.T) {
	client, server := pair(t, "unix")
	f, err := client.(*net.UnixConn).File()
	require.NoError(t, err)
	defer f.Close()
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	assert.Regexp(t, `^socket:\[\d+\]$`, link)
	info, err := f.Stat()
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket, info.Mode().Type())
	copied, err := net.FileConn(f)
	require.NoError(t, err)
	defer copied.Close()
	_, err = copied.Write([]byte("by the copy"))
	require.NoError(t, err)
	b := make([]byte, 20)
	n, err := server.Read(b)
	require.NoError(t, err)
	assert.Equal(t, "by the copy", string(b[:n]))
}

func TestHTTP(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", name)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Write(body)
	})}
	go server.Serve(l)
	defer server.Close()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", name)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			for j := range 20 {
				body := bytes.Repeat([]byte{byte(i), byte(j)}, 5000)
				r, err := client.Post("http://server/", "", bytes.NewReader(body))
				if !assert.NoError(t, err) {
					return
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				assert.NoError(t, err)
				assert.True(t, bytes.Equal(body, got))
			}
		})
	}
	group.Wait()
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	_, err := net.Dial("unix", filepath.Join(dir, "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	_, err = net.Dial("unix", filepath.Join(dir, "file"))
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer l.Close()
	_, err = net.Dial("unixgram", filepath.Join(dir, "s"))
	assert.ErrorIs(t, err, syscall.EPROTOTYPE)
	_, err = os.Open(filepath.Join(dir, "s"))
	assert.ErrorIs(t, err, syscall.ENXIO)
	var wrong *net.OpError
	_, err = net.Listen("unix", filepath.Join(dir, "none", "s"))
	assert.True(t, errors.As(err, &wrong))
}
