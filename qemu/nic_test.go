package qemu

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu/internal/stub"
)

// after returns the part of the arguments from the option on which the test is about.
func after(t *testing.T, m *Machine, option string) string {
	t.Helper()
	m.Binary = "qemu"
	d, err := m.defaults()
	require.NoError(t, err)
	args, err := d.arguments(tcgEngine)
	require.NoError(t, err)
	_, rest, found := strings.Cut(strings.Join(args, " "), " "+option+" ")
	require.True(t, found, "%q has no %s", args, option)
	return rest
}

func TestNetworkArguments(t *testing.T) {
	const modern = " -global virtio-mmio.force-legacy=off"
	forward := func(udp bool, host string, guest uint16) Forward {
		return Forward{UDP: udp, Host: netip.MustParseAddrPort(host), Guest: guest}
	}
	cases := map[string]struct {
		options []Option
		want    string // from -append on
	}{
		"user networking": {
			[]Option{Network(NIC{})},
			"console=framed" + modern + " -netdev user,id=net0 -device virtio-net-device,netdev=net0",
		},
		"forwarded ports": {
			[]Option{Network(NIC{Backend: User{Forwards: []Forward{forward(false, "127.0.0.1:8080", 80), forward(true, "0.0.0.0:53", 5353)}}})},
			"console=framed" + modern + " -netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80,hostfwd=udp:0.0.0.0:53-10.0.2.15:5353" +
				" -device virtio-net-device,netdev=net0",
		},
		"a network of the guest's own, isolated": {
			[]Option{Network(NIC{
				Backend: User{
					Guest: netip.MustParsePrefix("10.0.0.2/24"), Gateway: netip.MustParseAddr("10.0.0.1"),
					Guest6: netip.MustParsePrefix("fd00::2/64"), Isolated: true,
					Forwards: []Forward{forward(false, "127.0.0.1:8080", 80)},
				},
				Config: "addr=10.0.0.2/24,gw=10.0.0.1",
			})},
			"console=framed net=addr=10.0.0.2/24,gw=10.0.0.1" + modern +
				" -netdev user,id=net0,net=10.0.0.0/24,host=10.0.0.1,dns=10.0.0.3,dhcpstart=10.0.0.2" +
				",ipv6-net=fd00::/64,ipv6-host=fd00::1,ipv6-dns=fd00::3,restrict=on,hostfwd=tcp:127.0.0.1:8080-10.0.0.2:80" +
				" -device virtio-net-device,netdev=net0",
		},
		"a tap on PCI": {
			[]Option{On(Q35), Network(NIC{Backend: Tap("gs,0"), MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}})},
			"console=framed -netdev tap,id=net0,ifname=gs,,0,script=no,downscript=no,vhost=off" +
				" -device virtio-net-pci,disable-legacy=on,netdev=net0,mac=02:00:00:00:00:01,romfile=",
		},
		"machines joined": {
			[]Option{Network(
				NIC{Backend: Stream{Listen: true, Network: "tcp", Address: "127.0.0.1:9000"}, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
				NIC{Backend: Stream{Network: "unix", Address: "/tmp/a,b"}, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, Config: "none"},
				NIC{Backend: Datagram{Network: "udp", Remote: "230.0.0.1:9000"}, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 3}},
				NIC{Backend: Datagram{Network: "udp", Local: "127.0.0.1:1", Remote: "127.0.0.1:2"}, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 4}},
			)},
			"console=framed net=dhcp net=none net=dhcp net=dhcp" + modern +
				" -netdev stream,id=net0,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=9000" +
				" -device virtio-net-device,netdev=net0,mac=02:00:00:00:00:01" +
				" -netdev stream,id=net1,server=off,addr.type=unix,addr.path=/tmp/a,,b" +
				" -device virtio-net-device,netdev=net1,mac=02:00:00:00:00:02" +
				" -netdev dgram,id=net2,remote.type=inet,remote.host=230.0.0.1,remote.port=9000" +
				" -device virtio-net-device,netdev=net2,mac=02:00:00:00:00:03" +
				" -netdev dgram,id=net3,local.type=inet,local.host=127.0.0.1,local.port=1,remote.type=inet,remote.host=127.0.0.1,remote.port=2" +
				" -device virtio-net-device,netdev=net3,mac=02:00:00:00:00:04",
		},
		"another model, entropy, a capture, a name": {
			[]Option{On(PC), Network(NIC{Model: "e1000"}), func(m *Machine) { m.Entropy, m.Pcap, m.Hostname = true, "a,b.pcap", "node-1.example" }},
			"console=framed hostname=node-1.example pcap=host -netdev user,id=net0 -device e1000,netdev=net0,romfile=" +
				" -device virtio-rng-pci,disable-legacy=on -chardev file,id=pcap,path=a,,b.pcap -device isa-debugcon,iobase=0xea,chardev=pcap",
		},
		"entropy on a microvm": {
			[]Option{Network(NIC{}), func(m *Machine) { m.Entropy = true }},
			"console=framed" + modern + " -netdev user,id=net0 -device virtio-net-device,netdev=net0" +
				" -device virtio-rng-device",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, after(t, New("hello.elf", c.options...), "-append"))
		})
	}
}

// TestAddressesDiffer: machines on one wire have different addresses, a tap's machine always the same.
func TestAddressesDiffer(t *testing.T) {
	wire := NIC{Backend: Stream{Network: "unix", Address: "/tmp/x"}}
	assert.NotEqual(t, wire.mac(), wire.mac())
	assert.Equal(t, NIC{Backend: Tap("gs0")}.mac(), NIC{Backend: Tap("gs0")}.mac())
	assert.NotEqual(t, NIC{Backend: Tap("gs0")}.mac(), NIC{Backend: Tap("gs1")}.mac())
	assert.Nil(t, NIC{}.mac())
}

func TestBadNetwork(t *testing.T) {
	user := func(guest, gateway, dns string) Option {
		u := User{Guest: netip.MustParsePrefix(guest)}
		if gateway != "" {
			u.Gateway = netip.MustParseAddr(gateway)
		}
		if dns != "" {
			u.DNS = netip.MustParseAddr(dns)
		}
		return Network(NIC{Backend: u})
	}
	for want, option := range map[string]Option{
		"9 network devices: choose at most 8":                             Network(make([]NIC, 9)...),
		`hostname="a_b": not a host name`:                                 func(m *Machine) { m.Hostname = "a_b" },
		`net=frob: "frob": unknown word`:                                  Network(NIC{Config: "frob"}),
		"MAC address 01:00:00:00:00:00":                                   Network(NIC{MAC: net.HardwareAddr{1, 0, 0, 0, 0, 0}}),
		"10.0.0.0/30 has no room":                                         user("10.0.0.1/30", "", ""),
		"192.168.0.1 is not an address of 10.0.0.0/24 beside the guest's": user("10.0.0.2/24", "192.168.0.1", ""),
		"10.0.0.2 is not an address of 10.0.0.0/24 beside the guest's":    user("10.0.0.2/24", "10.0.0.2", ""),
		"gateway and DNS server cannot both be 10.0.0.1":                  user("10.0.0.2/24", "10.0.0.1", "10.0.0.1"),
		"missing port in address":                                         Network(NIC{Backend: Stream{Network: "tcp", Address: "x"}}),
	} {
		_, err := New("hello.elf", option).Start(t.Context())
		assert.ErrorContains(t, err, want)
	}
}

func TestForwardedPortInUse(t *testing.T) {
	for _, udp := range []bool{false, true} {
		f := Forward{UDP: udp, Guest: 80}
		addr, err := FreePort(f.Network(), netip.MustParseAddr("127.0.0.1"))
		require.NoError(t, err)
		f.Host = addr
		require.NoError(t, New("hello.elf", Network(NIC{Backend: User{Forwards: []Forward{f}}})).Check())
		err = New("hello.elf", Network(NIC{Backend: User{Forwards: []Forward{f, f}}})).Check()
		assert.ErrorContains(t, err, "is in use by another program", "the same port twice")
		taken, err := occupy(f.Network(), f.Host)
		require.NoError(t, err)
		err = New("hello.elf", Network(NIC{Backend: User{Forwards: []Forward{f}}})).Check()
		var port *PortError
		require.ErrorAs(t, err, &port)
		assert.Equal(t, f, port.Forward)
		taken.Close()
	}
	f := Forward{Host: netip.MustParseAddrPort("192.0.2.1:80"), Guest: 80} // RFC 5737: nobody's
	assert.ErrorContains(t, New("hello.elf", Network(NIC{Backend: User{Forwards: []Forward{f}}})).Check(), "this machine has no address 192.0.2.1")
	f.Host = netip.MustParseAddrPort("[::1]:80")
	assert.ErrorContains(t, New("hello.elf", Network(NIC{Backend: User{Forwards: []Forward{f}}})).Check(), "IPv4 addresses only")
}

// newTap makes a tap device, which needs root. Its name is the test's own.
func newTap(t *testing.T, name string, options ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making a tap device needs root")
	}
	ip(t, append([]string{"tuntap", "add", "mode", "tap", "name", name}, options...)...)
	t.Cleanup(func() { exec.CommandContext(context.Background(), "ip", "link", "delete", name).Run() })
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %s: %s", strings.Join(args, " "), out)
}

func TestTap(t *testing.T) {
	check := func(name string) error { return New("hello.elf", Network(NIC{Backend: Tap(name)})).Check() }
	if CheckTapSupport() == nil {
		assert.ErrorContains(t, check("goshawk-none"), "tap goshawk-none does not exist; make it, for a guest with addr=10.0.0.2/24: sudo ip tuntap add")
		assert.ErrorContains(t, check("lo"), "lo is a network device, but no tap")
		assert.ErrorContains(t, check("a-name-of-16-chars"), "is not the name of a tap device")
	} else {
		assert.ErrorIs(t, check("goshawk-none"), CheckTapSupport())
	}
	single, multi := fmt.Sprintf("gs-%d-s", os.Getpid()), fmt.Sprintf("gs-%d-m", os.Getpid()) // of this process alone
	newTap(t, single)
	newTap(t, multi, "multi_queue")
	assert.ErrorContains(t, check(single), "tap "+single+" is down: sudo ip link set "+single+" up")
	ip(t, "link", "set", single, "up")
	ip(t, "link", "set", multi, "up")
	require.NoError(t, check(single))
	require.NoError(t, check(multi))
	file := stub.Write(t, stub.Status(0))
	for _, kind := range []Kind{Microvm, Q35} {
		require.NoError(t, Run(t, file, On(kind), Using(TCG), Network(NIC{Backend: Tap(single)})).Err)
		require.NoError(t, Run(t, file, On(kind), Using(TCG), CPUs(4), Network(NIC{Backend: Tap(multi)})).Err)
	}
	assert.Contains(t, after(t, New("hello.elf", CPUs(4), Network(NIC{Backend: Tap(multi)})), "-netdev"), ",queues=4 -device virtio-net-device,netdev=net0,mac=")
	assert.Contains(t, after(t, New("hello.elf", Network(NIC{Backend: Tap(multi)})), "-netdev"), ",queues=2 ")

	p, err := New(stub.Write(t, stub.Hang), Using(TCG), Network(NIC{Backend: Tap(single)})).Start(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { // check itself would keep QEMU from getting the tap
		carrier, err := os.ReadFile(filepath.Join("/sys/class/net", single, "carrier"))
		return err == nil && string(carrier) == "1\n"
	}, 10*time.Second, 20*time.Millisecond)
	assert.ErrorContains(t, check(single), "in use by another program")
	p.Kill()
	p.Wait()
}

// TestBackendsStart has QEMU itself take the devices.
func TestBackendsStart(t *testing.T) {
	file := stub.Write(t, stub.Out(0xea, "captured"), stub.Status(0))
	dir := t.TempDir()
	addr, err := FreePort("tcp", netip.MustParseAddr("127.0.0.1"))
	require.NoError(t, err)
	guest := User{
		Guest: netip.MustParsePrefix("10.0.0.2/29"), DNS: netip.MustParseAddr("10.0.0.1"), Guest6: netip.MustParsePrefix("fd00::1/64"),
		Forwards: []Forward{{Host: addr, Guest: 80}, {UDP: true, Host: addr, Guest: 80}},
	}
	other, err := net.Listen("unix", filepath.Join(dir, "other"))
	require.NoError(t, err)
	defer other.Close()
	for _, kind := range Kinds {
		pcap := filepath.Join(dir, "a,b "+string(kind))
		r := Run(t, file, On(kind), Using(TCG), Network(
			NIC{}, NIC{Backend: guest}, NIC{Backend: User{Isolated: true}},
			NIC{Backend: Stream{Listen: true, Network: "unix", Address: filepath.Join(dir, string(kind))}},
			NIC{Backend: Stream{Network: "unix", Address: filepath.Join(dir, "other")}},
			NIC{Backend: Datagram{Network: "unix", Local: filepath.Join(dir, "l"+string(kind)), Remote: filepath.Join(dir, "r")}},
			NIC{Backend: Datagram{Network: "udp", Remote: "230.0.0.1:9000"}},
		), func(m *Machine) { m.Entropy, m.Pcap, m.Hostname = true, pcap, "x" })
		require.NoError(t, r.Err)
		got, err := os.ReadFile(pcap)
		require.NoError(t, err)
		assert.Equal(t, "captured", string(got))
	}
	m := New(file, Using(TCG), func(m *Machine) { m.Pcap = filepath.Join(dir, "no", "where") })
	_, err = m.Start(t.Context())
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestJoined: a machine that listens is found by others, who say so if there is none.
func TestJoined(t *testing.T) {
	for network, address := range map[string]string{"unix": filepath.Join(t.TempDir(), "x"), "tcp": freeAddress(t)} {
		end := Network(NIC{Backend: Stream{Network: network, Address: address}})
		assert.ErrorContains(t, New("hello.elf", end).Check(), "the machine at the other end has to be started first: ")
		p, err := New(stub.Write(t, stub.Hang), Using(TCG), Network(NIC{Backend: Stream{Listen: true, Network: network, Address: address}})).Start(t.Context())
		require.NoError(t, err)
		require.Eventually(t, func() bool { return New("hello.elf", end).Check() == nil }, 10*time.Second, 20*time.Millisecond)
		require.NoError(t, Run(t, stub.Write(t, stub.Status(0)), Using(TCG), end).Err)
		if network == "tcp" {
			listen := New("hello.elf", Network(NIC{Backend: Stream{Listen: true, Network: network, Address: address}}))
			assert.ErrorContains(t, listen.Check(), "address already in use")
		}
		p.Kill()
		p.Wait()
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	addr, err := FreePort("tcp", netip.MustParseAddr("127.0.0.1"))
	require.NoError(t, err)
	return addr.String()
}

// TestListening: what the guest reports arrives while it runs, and is no exit status.
func TestListening(t *testing.T) {
	type address struct {
		network string
		addr    netip.AddrPort
	}
	seen := make(chan address, 4)
	m := New(stub.Write(t, stub.Out(0xe9, "listen tcp 0.0.0.0:80\nlisten tcp [::]:443\n"), stub.Hang), Using(TCG))
	m.Listening = func(network string, addr netip.AddrPort) { seen <- address{network, addr} }
	p, err := m.Start(t.Context())
	require.NoError(t, err)
	for _, want := range []string{"0.0.0.0:80", "[::]:443"} {
		select {
		case got := <-seen:
			assert.Equal(t, address{"tcp", netip.MustParseAddrPort(want)}, got)
		case <-time.After(30 * time.Second):
			assert.Fail(t, "it was not told", want)
		}
	}
	p.Kill()
	_, err = p.Wait()
	assert.ErrorIs(t, err, context.Canceled)

	r := Run(t, stub.Write(t, stub.Out(0xe9, "listen tcp 0.0.0.0:80\n"), stub.Status(9)), Using(TCG))
	require.NoError(t, r.Err)
	assert.Equal(t, 9, r.Status)
	r = Run(t, stub.Write(t, stub.Out(0xe9, "listen tcp 0.0.0.0:80\n")), Using(TCG))
	assert.ErrorIs(t, r.Err, ErrNoStatus)
	for _, text := range []string{"listen tcp 80\n", "listen\n", strings.Repeat("9", 1000) + "\n"} {
		r = Run(t, stub.Write(t, stub.Out(0xe9, text)), Using(TCG))
		assert.ErrorContains(t, r.Err, "exit status that is none")
	}
}
