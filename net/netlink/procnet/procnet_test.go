package procnet

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/goshawk-os/goshawk/net/netlink"
	"github.com/goshawk-os/goshawk/net/netstack"
	"github.com/goshawk-os/goshawk/net/socket"
)

// files returns the files of /proc/net over a new stack, by name.
func files(t *testing.T, program func(yield func(uint64, socket.Socket) bool)) (*netstack.Stack, map[string]func() []byte) {
	t.Helper()
	s := netstack.New(netstack.Options{})
	all := make(map[string]func() []byte)
	for _, f := range Net(s, netlink.New(s), program) {
		require.NotContains(t, all, f.Name)
		all[f.Name] = f.Content
	}
	return s, all
}

// TestTitlesLikeLinux compares the lines that say what is in the columns with those of the host's
// Linux. Fields that Linux has added since 6.1, or has without having been asked, are let go.
func TestTitlesLikeLinux(t *testing.T) {
	_, all := files(t, nil)
	for name, lines := range map[string][]int{
		"arp": {0}, "dev": {0, 1}, "icmp": {0}, "icmp6": {0}, "igmp": {0}, "netlink": {0}, "packet": {0}, "raw": {0}, "raw6": {0},
		"route": {0}, "tcp": {0}, "tcp6": {0}, "udp": {0}, "udp6": {0},
	} {
		host, err := os.ReadFile("/proc/net/" + name)
		require.NoError(t, err)
		ours, theirs := strings.Split(string(all[name]()), "\n"), strings.Split(string(host), "\n")
		for _, i := range lines {
			assert.Equal(t, theirs[i], ours[i], name)
		}
	}
	host, err := os.ReadFile("/proc/net/snmp")
	require.NoError(t, err)
	ours := strings.Split(string(all["snmp"]()), "\n")
	names := func(line string) []string { return strings.Fields(line) }
	for _, theirs := range strings.Split(string(host), "\n") {
		group, _, _ := strings.Cut(theirs, ":")
		if group == "" || group == "IcmpMsg" || !regexp.MustCompile(`: [A-Z]`).MatchString(theirs) {
			continue
		}
		for _, line := range ours {
			if strings.HasPrefix(line, group+": ") && regexp.MustCompile(`: [A-Z]`).MatchString(line) {
				assert.Equal(t, names(theirs), names(line))
			}
		}
	}
	for name, separator := range map[string]string{"snmp6": "\t", "netstat": " "} {
		host, err := os.ReadFile("/proc/net/" + name)
		require.NoError(t, err)
		for _, line := range strings.Split(strings.TrimSpace(string(all[name]())), "\n") {
			for i, word := range strings.Split(line, separator) {
				if i == 0 || name == "netstat" && word[0] > '9' {
					assert.Contains(t, string(host), word, name)
				}
			}
		}
	}
	for _, name := range []string{"sockstat", "sockstat6"} {
		host, err := os.ReadFile("/proc/net/" + name)
		require.NoError(t, err)
		digits := regexp.MustCompile(`\d+\n`)
		ours, theirs := digits.ReplaceAllString(string(all[name]()), "N\n"), digits.ReplaceAllString(string(host), "N\n")
		shape := regexp.MustCompile(` \d+`)
		assert.Equal(t, shape.ReplaceAllString(theirs, " N"), shape.ReplaceAllString(ours, " N"))
	}
}

// TestLoopbackLikeLinux compares what is the same on every machine.
func TestLoopbackLikeLinux(t *testing.T) {
	_, all := files(t, nil)
	grep := func(text, pattern string) []string { return regexp.MustCompile("(?m)"+pattern).FindAllString(text, -1) }
	for name, pattern := range map[string]string{
		"if_inet6": `^.* lo$`, "ipv6_route": `^0{31}1 .* lo$`, "igmp": `^1\tlo .*`, "dev": `^ *lo:`, "igmp6": `^1    lo +ff02.* `,
	} {
		host, err := os.ReadFile("/proc/net/" + name)
		require.NoError(t, err)
		ours, theirs := grep(string(all[name]()), pattern), grep(string(host), pattern)
		if name == "ipv6_route" { // references differ
			references := regexp.MustCompile(`(\w{8}) \w{8} \w{8} (\w{8}  )`)
			for i := range theirs {
				theirs[i] = references.ReplaceAllString(theirs[i], "$1 R U $2")
			}
			for i := range ours {
				ours[i] = references.ReplaceAllString(ours[i], "$1 R U $2")
			}
		}
		assert.NotEmpty(t, ours, name)
		assert.Equal(t, theirs, ours, name)
	}
}

// TestSocketsOfEndpoints lists endpoints that no socket of the program has.
func TestSocketsOfEndpoints(t *testing.T) {
	s, all := files(t, nil)
	var queue waiter.Queue
	e, err := s.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	require.Nil(t, err)
	defer e.Close()
	require.Nil(t, e.Bind(tcpip.FullAddress{Addr: header.IPv4Loopback, Port: 8080}))
	require.Nil(t, e.Listen(10))
	u, err := s.NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, &queue)
	require.Nil(t, err)
	defer u.Close()
	require.Nil(t, u.Bind(tcpip.FullAddress{Port: 53}))

	lines := strings.Split(string(all["tcp"]()), "\n")
	require.Len(t, lines, 3)
	assert.Equal(t, "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 100 0 0 10 -1",
		strings.TrimRight(lines[1], " "))
	assert.Len(t, lines[1], tcpWidth)
	lines = strings.Split(string(all["udp6"]()), "\n")
	require.Len(t, lines, 3)
	assert.Equal(t, "    0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0000000000000000 0",
		lines[1])
	assert.Contains(t, string(all["sockstat"]()), "TCP: inuse 1 orphan 1 tw 0 alloc 1 mem 0\n")
}

func TestSettings(t *testing.T) {
	s, _ := files(t, nil)
	all := make(map[string]string)
	for directory, list := range map[string][]File{"core": Core(s), "ipv4": IPv4(s), "ipv6": IPv6(s)} {
		for _, f := range list {
			all[directory+"/"+f.Name] = string(f.Content())
		}
	}
	for name, text := range all {
		host, err := os.ReadFile("/proc/sys/net/" + name)
		if assert.NoError(t, err, name) {
			assert.Equal(t, len(strings.Fields(string(host))) > 0, len(strings.Fields(text)) > 0, name)
			assert.Equal(t, strings.Count(string(host), "\t"), strings.Count(text, "\t"), name)
		}
	}
	assert.Equal(t, "32768\t60999\n", all["ipv4/ip_local_port_range"])
	assert.Equal(t, "0\n", all["ipv4/ip_forward"])
	assert.Equal(t, "7200\n", all["ipv4/tcp_keepalive_time"])
	assert.Equal(t, "cubic\n", all["ipv4/tcp_congestion_control"])
	assert.Equal(t, "60\n", all["ipv4/tcp_fin_timeout"])

	for _, f := range Link(s.Link(netstack.Loopback)) {
		host, err := os.ReadFile("/sys/class/net/lo/" + f.Name)
		if assert.NoError(t, err, f.Name) && !strings.HasPrefix(f.Name, "statistics/") {
			assert.Equal(t, string(host), string(f.Content()), f.Name)
		}
	}
}
