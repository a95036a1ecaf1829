package configure

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/assert"
)

func TestFilesOfTheImage(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithOption(dhcpv4.OptHostName("web")))
	l := newLab(t, "dhcp")
	l.files = map[string]string{resolvConf: "mine", hostsFile: "mine too", hostnameFile: "# my name\n\nbox.example.org\n"}
	l.wires[0].nodes = []node{s.node}
	l.start("dhcp")
	assert.Empty(t, l.written)
	assert.Equal(t, "box.example.org", l.hostname)
	assert.True(t, l.configured())
	l.quiet()
}

func TestHostnameOfTheImage(t *testing.T) {
	for text, want := range map[string]string{"": "goshawk", "a.b\n": "a.b", "two words\n": "goshawk"} {
		l := newLab(t)
		l.files[hostnameFile] = text
		l.start()
		assert.Equal(t, want, l.hostname)
		if text == "two words\n" {
			l.warned("/etc/hostname", `"two words"`)
		}
		l.quiet()
	}
	l := newLab(t).with(Options{Hostname: "cmdline"})
	l.files[hostnameFile] = "image"
	l.start()
	assert.Equal(t, "cmdline", l.hostname)
}

func TestHostsWithLongHostname(t *testing.T) {
	l := newLab(t).with(Options{Hostname: "web.example.org"}, "")
	l.start("addr=10.0.2.15/24,domain=other.org")
	assert.Contains(t, l.files[hostsFile], "\n10.0.2.15 web.example.org web\n")
}

// TestFilesAreWrittenOnce shows that a file that stays the same is not written again.
func TestFilesAreWrittenOnce(t *testing.T) {
	s := newServer(t)
	l := bootDHCP(s, "dhcp")
	first := len(l.written)
	l.pass(48 * time.Hour)
	assert.Len(t, l.written, first)
	s.with = append(s.with, dhcpv4.WithDNS(net.IPv4(10, 0, 2, 4)))
	l.pass(24 * time.Hour)
	assert.Equal(t, []string{resolvConf}, l.written[first:])
}

type readOnly struct{ *lab }

func (readOnly) WriteFile(string, []byte) error { return errors.New("read-only file system") }

func TestFilesThatCannotBeWritten(t *testing.T) {
	s := newServer(t)
	l := newLab(t, "dhcp")
	l.c.options.Host = readOnly{l}
	s.lab, l.wires[0].nodes = l, []node{s.node}
	l.start("dhcp")
	l.pass(48 * time.Hour)
	if assert.Len(t, l.warnings, 2) {
		assert.Equal(t, "/etc/hosts cannot be written: read-only file system", l.warnings[0])
		assert.Equal(t, "/etc/resolv.conf cannot be written: read-only file system", l.warnings[1])
	}
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
}
