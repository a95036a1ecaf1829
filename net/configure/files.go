package configure

import (
	"net/netip"
	"strings"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// Files that are written unless the image brings them along, and one that is read.
const (
	resolvConf   = "/etc/resolv.conf"
	hostsFile    = "/etc/hosts"
	hostnameFile = "/etc/hostname"
)

// defaultHostname is the host name if nobody gives one.
const defaultHostname = "goshawk"

// files keeps resolv.conf, hosts and the host name current. It belongs to the jobs.
type files struct {
	c          *Configuration
	written    map[string]string // file: text, "" if it is not ours to write
	given      string            // host name of the command line or the image, "" if none
	hostname   string
	complained map[string]bool
}

func (f *files) start() {
	f.written = make(map[string]string)
	f.complained = make(map[string]bool)
	for _, name := range []string{resolvConf, hostsFile} {
		if _, err := f.c.options.Host.ReadFile(name); err != nil {
			f.written[name] = ""
		}
	}
	f.given = f.c.options.Hostname
	if f.given == "" {
		f.given = f.imageHostname()
	}
}

// imageHostname returns the host name that the image brings along, "" if there is none.
func (f *files) imageHostname() string {
	b, err := f.c.options.Host.ReadFile(hostnameFile)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := options.CheckHostname(line); err != nil {
			f.c.options.Warn(hostnameFile + ": " + err.Error() + "; it is ignored")
			return ""
		}
		return line
	}
	return ""
}

func (f *files) update() {
	f.updateHostname()
	f.write(hostsFile, f.hosts())
	f.write(resolvConf, f.resolver())
}

// updateHostname takes the name that is given, or else that of the first link where DHCP has one.
func (f *files) updateHostname() {
	name := f.given
	for _, l := range f.c.links {
		if le := l.lease(); name == "" && le != nil {
			name = le.hostname
		}
	}
	if name == "" {
		name = defaultHostname
	}
	if name != f.hostname {
		f.hostname = name
		f.c.options.Host.SetHostname(name)
	}
}

// hosts returns the text of hosts(5). The host name stands for the machine's lasting addresses, and
// while it has none for one of the loopback's.
func (f *files) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	names := f.hostname
	if short, _, dot := strings.Cut(f.hostname, "."); dot {
		names += " " + short
	} else if domain := f.domain(); domain != "" {
		names = f.hostname + "." + domain + " " + f.hostname
	}
	var addrs []netip.Addr
	for _, l := range f.c.links {
		addrs = appendNew(addrs, l.addresses()...)
	}
	if len(addrs) == 0 {
		addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 1, 1})}
	}
	for _, a := range addrs {
		b.WriteString(a.String() + " " + names + "\n")
	}
	return b.String()
}

func (f *files) domain() string {
	for _, l := range f.c.links {
		if d := l.domain(); d != "" {
			return d
		}
	}
	return ""
}

// resolver returns the text of resolv.conf(5).
func (f *files) resolver() string {
	var all information
	for _, l := range f.c.links {
		all.add(l.information())
	}
	var b strings.Builder
	b.WriteString("# Written by the kernel's network configuration.\n")
	for _, a := range all.dns[:min(len(all.dns), options.MaxDNS)] {
		b.WriteString("nameserver " + a.String() + "\n")
	}
	if n := min(len(all.search), maxDomains); n > 0 {
		b.WriteString("search " + strings.Join(all.search[:n], " ") + "\n")
	}
	return b.String()
}

// write writes a file if it is ours and has changed.
func (f *files) write(name, text string) {
	if old, ours := f.written[name]; !ours || old == text {
		return
	}
	if err := f.c.options.Host.WriteFile(name, []byte(text)); err != nil {
		if !f.complained[name] {
			f.complained[name] = true
			f.c.options.Warn(name + " cannot be written: " + err.Error())
		}
		return
	}
	f.written[name] = text
}
