package qemu_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/relay"
)

// Addresses on the wire between a guest and its relay.Peer, and the guest's configuration.
const (
	guestAddr, guestAddr6 = "10.0.0.2", "fd00::2"
	peerAddr, peerAddr6   = "10.0.0.1", "fd00::1"
	wireConfig            = "addr=10.0.0.2/24,addr=fd00::2/64,gw=10.0.0.1,dns=10.0.0.1"
)

var guestMAC = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// A netd is a guest that runs guest/netd, and who talks to it.
type netd struct {
	addrs   []string // on a tap: of IPv4 and IPv6
	t       *testing.T
	process *qemu.Process
	console *console
	url     string
	client  http.Client
	ended   chan struct{}
	err     error // after ended
	status  int
}

// A console keeps output and can be waited for.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// startProgram boots a program, and shows its console if the test fails.
func startProgram(t *testing.T, image string, options ...qemu.Option) *netd {
	t.Helper()
	n := &netd{t: t, console: new(console), ended: make(chan struct{})}
	options = append([]qemu.Option{qemu.CPUs(2), qemu.Timeout(5 * time.Minute)}, options...)
	m := qemu.New(image, options...)
	m.Output = n.console
	var command string
	m.Verbose = func(line string) { command = line }
	var err error
	n.process, err = m.Start(context.Background())
	require.NoError(t, err)
	go func() {
		n.status, n.err = n.process.Wait()
		close(n.ended)
	}()
	t.Cleanup(func() {
		n.process.Kill()
		<-n.ended
		if t.Failed() {
			t.Logf("%s\nconsole:\n%s", command, n.console)
		}
	})
	return n
}

// startServer boots the server and waits until it listens. How it is reached is for the caller to say.
func startServer(t *testing.T, options ...qemu.Option) *netd {
	t.Helper()
	n := startProgram(t, build(t, "./guest/netd").image, options...)
	n.prints("ready\n")
	return n
}

// prints waits for a part of the console's output.
func (n *netd) prints(text string) {
	n.t.Helper()
	require.Eventually(n.t, func() bool { return strings.Contains(n.console.String(), text) }, time.Minute, 2*time.Millisecond,
		"%q is not printed", text)
}

// onWire boots the server with a device that a relay.Peer is connected to, by a link with faults.
func onWire(t *testing.T, f relay.Faults, options ...qemu.Option) (*netd, *relay.Peer) {
	t.Helper()
	nic, accept := newWire(t)
	nic.Config = wireConfig
	n := startProgram(t, build(t, "./guest/netd").image, append(options, qemu.Network(nic))...)
	end := accept()
	if f != (relay.Faults{}) {
		end = faulty(t, end, f)
	}
	peer := newPeer(t, end)
	n.prints("ready\n")
	n.url = "http://" + guestAddr
	n.client = http.Client{Transport: &http.Transport{DialContext: peer.DialContext}, Timeout: time.Minute}
	t.Cleanup(n.client.CloseIdleConnections)
	return n, peer
}

// newWire returns a device and a function that returns the other end of its wire when the machine has
// started.
func newWire(t *testing.T) (qemu.NIC, func() relay.End) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire") // the test's own may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := relay.Listen(filepath.Join(dir, "s"))
	require.NoError(t, err)
	return qemu.NIC{Backend: l.Backend(), MAC: guestMAC}, func() relay.End {
		t.Helper()
		end, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, l.Close())
		t.Cleanup(func() { end.Close() })
		return end
	}
}

// faulty returns the far end of a link with faults in both directions.
func faulty(t *testing.T, near relay.End, f relay.Faults) relay.End {
	t.Helper()
	a, b := net.Pipe()
	back := f
	back.Seed++
	r := relay.Join(near, relay.NewStream(a), f, back)
	t.Cleanup(func() {
		from, to := r.Counts()
		t.Logf("from the guest: %v; to the guest: %v", from, to)
		require.NoError(t, r.Close())
	})
	return relay.NewStream(b)
}

func newPeer(t *testing.T, end relay.End) *relay.Peer {
	t.Helper()
	p, err := relay.NewPeer(end, netip.MustParsePrefix(peerAddr+"/24"), netip.MustParsePrefix(peerAddr6+"/64"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// forwarded returns a device on user networking whose ports lead to the guest's, and where they are.
func forwarded(t *testing.T, guest ...uint16) (qemu.NIC, map[uint16]string) {
	t.Helper()
	places := make(map[uint16]string)
	var user qemu.User
	for _, port := range guest {
		addr, err := qemu.FreePort("tcp", netip.MustParseAddr("127.0.0.1"))
		require.NoError(t, err)
		user.Forwards = append(user.Forwards, qemu.Forward{Host: addr, Guest: port})
		places[port] = addr.String()
	}
	return qemu.NIC{Backend: user}, places
}

// onUser boots the server on user networking.
func onUser(t *testing.T, options ...qemu.Option) *netd {
	t.Helper()
	nic, places := forwarded(t, 80)
	n := startServer(t, append(options, qemu.Network(nic))...)
	n.url = "http://" + places[80]
	n.client = http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	t.Cleanup(n.client.CloseIdleConnections)
	return n
}

// get returns what a page says.
func (n *netd) get(path string) string {
	n.t.Helper()
	text, err := fetch(&n.client, n.url+path)
	require.NoError(n.t, err)
	return text
}

func fetch(c *http.Client, url string) (string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}

// call has the server make a call.
func (n *netd) call(name, argument string) (string, error) {
	return fetch(&n.client, n.url+"/call?"+url.Values{"name": {name}, "argument": {argument}}.Encode())
}

// status is what netd's page of that name says.
type status struct {
	Goroutines, Descriptors int
	Heap, FreeMemory        uint64
}

func (n *netd) measure() (s status) {
	n.t.Helper()
	require.NoError(n.t, json.Unmarshal([]byte(n.get("/status")), &s))
	return s
}

// settles waits until the server's use of memory, descriptors and goroutines is what it was before,
// within a margin. The stack keeps ended connections for a while: those that a peer has begun and not
// finished for two minutes.
func (n *netd) settles(before status) {
	n.t.Helper()
	n.client.CloseIdleConnections()
	const margin = 8 << 20 // bytes
	var now status
	ok := func() bool {
		now = n.measure()
		return now.Goroutines <= before.Goroutines+3 && now.Descriptors <= before.Descriptors+2 &&
			now.Heap < before.Heap+margin && now.FreeMemory+margin > before.FreeMemory
	}
	for start := time.Now(); time.Since(start) < 150*time.Second; time.Sleep(time.Second) {
		if ok() {
			return
		}
	}
	require.Fail(n.t, "the server keeps what it has taken", "before %+v, now %+v", before, now)
}

// certificate returns a key pair for a server at the addresses, in PEM, and who believes it.
func certificate(t *testing.T, addresses ...string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "netd"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), pool
}

// secure returns a client for HTTPS that speaks HTTP/2, or not.
func secure(pool *x509.CertPool, two bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!two)
	transport.Protocols.SetHTTP2(two)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}
