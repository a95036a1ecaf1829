package qemu_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/relay"
)

// TestNetProtocols: what is spoken over TCP, with clients that others have written.
func TestNetProtocols(t *testing.T) {
	for _, kind := range qemu.Kinds {
		for _, cpus := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				cert, key, pool := certificate(t, "127.0.0.1")
				file := filepath.Join(t.TempDir(), "cert.pem")
				require.NoError(t, os.WriteFile(file, []byte(cert), 0o666))
				nic, places := forwarded(t, 80, 443)
				n := startServer(t, qemu.On(kind), qemu.CPUs(cpus), qemu.Env("CERT="+cert, "KEY="+key), qemu.Network(nic))
				n.url = "http://" + places[80]
				n.client.Timeout = time.Minute

				assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
				for _, two := range []bool{false, true} {
					text, err := fetch(secure(pool, two), "https://"+places[443]+"/")
					require.NoError(t, err)
					assert.Equal(t, map[bool]string{false: "HTTP/1.1 from linux\n", true: "HTTP/2.0 from linux\n"}[two], text)
				}
				for _, c := range []struct{ option, url, want string }{
					{"--http1.0", n.url, "HTTP/1.0"}, {"--http1.1", n.url, "HTTP/1.1"},
					{"--http1.1", "https://" + places[443], "HTTP/1.1"}, {"--http2", "https://" + places[443], "HTTP/2.0"},
				} {
					out, err := exec.CommandContext(t.Context(), "curl", "--silent", "--show-error", "--max-time", "60", "--cacert", file,
						c.option, c.url+"/").CombinedOutput()
					require.NoError(t, err, "curl is needed: apt-get install -y curl; it says: %s", out)
					assert.Equal(t, c.want+" from linux\n", string(out))
				}

				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				c, _, err := websocket.Dial(ctx, n.url+"/websocket", nil)
				require.NoError(t, err)
				c.SetReadLimit(-1)
				for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
					message := bytes.Repeat([]byte("x"), size)
					require.NoError(t, c.Write(ctx, websocket.MessageBinary, message))
					_, got, err := c.Read(ctx)
					require.NoError(t, err)
					assert.True(t, bytes.Equal(message, got), "a message of %d bytes", size)
				}
				assert.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
			})
		}
	}
}

// bulkSize is how much TestNetBulk sends in each direction, in MiB; make net-bulk sends 1024.
func bulkSize(t *testing.T) int64 {
	t.Helper()
	mib := int64(64)
	if text := os.Getenv("GOSHAWK_BULK"); text != "" {
		_, err := fmt.Sscan(text, &mib)
		require.NoError(t, err, "GOSHAWK_BULK")
	}
	return mib << 20
}

// TestNetBulk: much data arrives whole, in both directions.
func TestNetBulk(t *testing.T) {
	size := bulkSize(t)
	sum := sha256.New()
	io.CopyN(sum, rand.NewChaCha8([32]byte{}), size)
	want := fmt.Sprintf("%d %x\n", size, sum.Sum(nil))
	check := func(t *testing.T, n *netd) {
		n.client.Timeout = 10 * time.Minute
		start := time.Now()
		resp, err := n.client.Post(n.url+"/upload", "application/octet-stream", io.LimitReader(rand.NewChaCha8([32]byte{}), size))
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, want, string(text))
		t.Logf("upload: %.0f MiB/s", float64(size>>20)/time.Since(start).Seconds())

		start = time.Now()
		resp, err = n.client.Get(fmt.Sprintf("%s/download?size=%d", n.url, size))
		require.NoError(t, err)
		defer resp.Body.Close()
		sum := sha256.New()
		got, err := io.Copy(sum, resp.Body)
		require.NoError(t, err)
		assert.Equal(t, want, fmt.Sprintf("%d %x\n", got, sum.Sum(nil)))
		t.Logf("download: %.0f MiB/s", float64(size>>20)/time.Since(start).Seconds())
	}
	t.Run("user networking", func(t *testing.T) { check(t, onUser(t, qemu.Timeout(20*time.Minute))) })
	t.Run("wire", func(t *testing.T) {
		n, _ := onWire(t, relay.Faults{}, qemu.Timeout(20*time.Minute))
		check(t, n)
	})
	t.Run("tap", func(t *testing.T) { check(t, onTap(t, qemu.Timeout(20*time.Minute))) })
}

// onTap boots the server on a tap with a queue for each CPU, where this machine's own kernel is the
// peer.
func onTap(t *testing.T, options ...qemu.Option) *netd {
	t.Helper()
	// Of a name and addresses of its own: others may be testing on this machine.
	name, subnet := fmt.Sprintf("gs%d", os.Getpid()), os.Getpid()%250
	if os.Geteuid() != 0 {
		t.Skip("making a tap device needs root")
	}
	for _, args := range []string{
		"tuntap add mode tap multi_queue name " + name, fmt.Sprintf("address add 10.213.%d.1/24 dev %s", subnet, name),
		fmt.Sprintf("address add fd00:213:%d::1/64 dev %s nodad", subnet, name), "link set " + name + " up",
	} {
		out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput()
		t.Cleanup(func() { exec.CommandContext(context.Background(), "ip", "link", "delete", name).Run() })
		require.NoError(t, err, "ip %s: %s", args, out)
	}
	n := startServer(t, append(options, qemu.Network(qemu.NIC{Backend: qemu.Tap(name), Config: fmt.Sprintf("addr=10.213.%d.2/24,addr=fd00:213:%d::2/64", subnet, subnet)}))...)
	n.url = fmt.Sprintf("http://10.213.%d.2", subnet)
	n.addrs = []string{fmt.Sprintf("10.213.%d.2", subnet), fmt.Sprintf("fd00:213:%d::2", subnet)}
	n.client.Timeout = time.Minute
	return n
}

// TestNetTap talks to a guest by this machine's kernel, with both versions of IP.
func TestNetTap(t *testing.T) {
	for _, kind := range []qemu.Kind{qemu.Microvm, qemu.Q35} {
		for _, cpus := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				n := onTap(t, qemu.On(kind), qemu.CPUs(cpus))
				assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
				text, err := fetch(&n.client, "http://["+n.addrs[1]+"]/")
				require.NoError(t, err)
				assert.Equal(t, "HTTP/1.1 from linux\n", text)
				for _, addr := range n.addrs {
					ping(t, netip.MustParseAddr(addr))
				}
			})
		}
	}
}

// ping sends echo requests that take several frames each, and expects their data back.
func ping(t *testing.T, addr netip.Addr) {
	t.Helper()
	network, protocol, request, reply := "ip4:icmp", 1, icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if addr.Is6() {
		network, protocol, request, reply = "ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := net.Dial(network, addr.String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	b := make([]byte, 1<<16)
	for i := range 3 {
		want := &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: i, Data: bytes.Repeat([]byte{byte(i), 1, 2, 3}, 1000)}
		text, err := (&icmp.Message{Type: request, Body: want}).Marshal(nil)
		require.NoError(t, err)
		_, err = c.Write(text)
		require.NoError(t, err)
		for {
			n, _, err := c.(*net.IPConn).ReadFrom(b)
			require.NoError(t, err, "%s, echo request %d", addr, i)
			got, err := icmp.ParseMessage(protocol, b[:n])
			require.NoError(t, err)
			if got.Type == reply { // neighbour discovery comes here too
				assert.Equal(t, want, got.Body)
				break
			}
		}
	}
}

// TestNetIPv6: a wire without any IPv4, and user networking where the guest finds its address itself.
func TestNetIPv6(t *testing.T) {
	n, _ := onWire(t, relay.Faults{})
	n.url = "http://[" + guestAddr6 + "]"
	assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
	assert.Contains(t, n.get("/peer"), "["+peerAddr6+"]:")

	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "over IPv6") }))
	n = onUser(t)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the router advertises itself when it likes
		text, err := n.call("get", "http://[fec0::2]:"+port+"/")
		return err == nil && text == "over IPv6\n"
	}, time.Minute, 200*time.Millisecond)
	text, err := n.call("interfaces", "")
	require.NoError(t, err)
	assert.Contains(t, text, " fec0::")
}

// TestNetOutgoing: the guest as a client of this machine, by user networking.
func TestNetOutgoing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "out and back") }))
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	// The first thing the program does: there has to be an address by then.
	r := qemu.Run(t, build(t, "./guest/netd").image, qemu.Network(qemu.NIC{}), qemu.Args("call", "get", "http://10.0.2.2:"+port+"/"))
	require.NoError(t, r.Err)
	assert.Equal(t, "out and back\n", r.Console)
	assert.Zero(t, r.Status)
}

// TestNetDatagrams: UDP that fits a frame and UDP that does not, by both versions of IP.
func TestNetDatagrams(t *testing.T) {
	_, peer := onWire(t, relay.Faults{})
	for _, addr := range []string{guestAddr, guestAddr6} {
		c, err := peer.DialContext(t.Context(), "udp", net.JoinHostPort(addr, "7"))
		require.NoError(t, err)
		defer c.Close()
		got := make([]byte, 1<<16)
		for _, size := range []int{1, 1400, 1473, 4000, 9000, 65000} {
			message := make([]byte, size)
			rand.NewChaCha8([32]byte{byte(size)}).Read(message)
			_, err := c.Write(message)
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
			n, err := c.Read(got)
			require.NoError(t, err, "%d bytes by %s", size, addr)
			assert.True(t, bytes.Equal(message, got[:n]), "%d bytes by %s", size, addr)
		}
	}
}

// TestNetBadWire: a link that loses, doubles, exchanges and damages frames costs time and no data.
func TestNetBadWire(t *testing.T) {
	n, _ := onWire(t, relay.Faults{Seed: 42, Lose: 0.01, Duplicate: 0.01, Reorder: 0.02, Corrupt: 0.01})
	n.client.Timeout = 3 * time.Minute
	const size = 8 << 20
	sum := sha256.New()
	io.CopyN(sum, rand.NewChaCha8([32]byte{}), size)
	want := fmt.Sprintf("%d %x\n", size, sum.Sum(nil))
	start := time.Now()
	resp, err := n.client.Post(n.url+"/upload", "application/octet-stream", io.LimitReader(rand.NewChaCha8([32]byte{}), size))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, want, string(text))
	t.Logf("upload: %v", time.Since(start))
	start = time.Now()
	resp, err = n.client.Get(fmt.Sprintf("%s/download?size=%d", n.url, size))
	require.NoError(t, err)
	defer resp.Body.Close()
	sum.Reset()
	got, err := io.Copy(sum, resp.Body)
	require.NoError(t, err)
	assert.Equal(t, want, fmt.Sprintf("%d %x\n", got, sum.Sum(nil)))
	t.Logf("download: %v", time.Since(start))
	for range 50 {
		assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
		n.client.CloseIdleConnections()
	}
}

// TestNetCapture: the guest's stack writes what comes and goes to a file that tools read (pcapng,
// draft-ietf-opsawg-pcapng).
func TestNetCapture(t *testing.T) {
	const section, packet, byteOrder = 0x0a0d0d0a, 6, 0x1a2b3c4d
	file := filepath.Join(t.TempDir(), "capture.pcapng")
	n := onUser(t, func(m *qemu.Machine) { m.Pcap = file })
	assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
	n.process.Kill()
	<-n.ended
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Greater(t, len(b), 28)
	order := binary.LittleEndian
	require.EqualValues(t, section, order.Uint32(b))
	require.EqualValues(t, byteOrder, order.Uint32(b[8:]))
	frames := 0
	requested, answered := false, false
	for len(b) >= 32 {
		kind, length := order.Uint32(b), int(order.Uint32(b[4:]))
		require.Zero(t, length%4)
		require.GreaterOrEqual(t, length, 12)
		if length > len(b) {
			break // the machine was ended in the middle of it
		}
		require.EqualValues(t, length, order.Uint32(b[length-4:]), "the length at the end of a block")
		if kind == packet {
			captured := int(order.Uint32(b[20:]))
			require.LessOrEqual(t, captured, length-32)
			frame := b[28 : 28+captured]
			requested = requested || bytes.Contains(frame, []byte("GET / HTTP/1.1\r\n"))
			answered = answered || bytes.Contains(frame, []byte("HTTP/1.1 200 OK\r\n"))
			frames++
		}
		b = b[length:]
	}
	assert.Greater(t, frames, 5)
	assert.True(t, requested && answered, "request and response are in the capture")
}

// TestNetListening: goshawk is told where the program listens.
func TestNetListening(t *testing.T) {
	seen := make(chan netip.AddrPort, 8)
	nic, _ := forwarded(t, 80)
	startServer(t, qemu.Network(nic), func(m *qemu.Machine) {
		m.Listening = func(_ string, addr netip.AddrPort) { seen <- addr }
	})
	ports := make(map[uint16]bool)
	for range 2 {
		select {
		case addr := <-seen:
			ports[addr.Port()] = true
		case <-time.After(10 * time.Second):
			require.Fail(t, "it was not told")
		}
	}
	assert.Equal(t, map[uint16]bool{7: true, 80: true}, ports)
}
