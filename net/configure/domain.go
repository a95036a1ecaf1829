package configure

import (
	"strings"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// cleanDomain returns a domain that came as text, "" if it is none.
func cleanDomain(name string) string {
	name = strings.TrimRight(name, ".\x00")
	if !options.ValidDomain(name) {
		return ""
	}
	return name
}

// parseDomains reads names in DNS's encoding (RFC 1035, section 4.1.4), among them compressed ones
// whose pointers count from the begin of b (RFC 3397; DHCPv6 has none, RFC 8415, section 10). It
// returns those before the first that is not of that form, each once, at most limit of them. Names
// that cannot be domains are left out.
func parseDomains(b []byte, limit int) (names []string) {
	for at := 0; at < len(b) && len(names) < limit; {
		name, next, ok := parseDomain(b, at)
		if !ok {
			return names
		}
		if options.ValidDomain(name) {
			names = appendNew(names, name)
		}
		at = next
	}
	return names
}

// parseDomain reads the name at b[at:]. Pointers lead backward only, so they end.
func parseDomain(b []byte, at int) (name string, next int, ok bool) {
	start := at
	for len(name) < 255 {
		if at >= len(b) {
			return "", 0, false
		}
		n := int(b[at])
		at++
		switch {
		case n == 0:
			return name, max(next, at), true
		case n&0xc0 == 0xc0:
			if at >= len(b) {
				return "", 0, false
			}
			target := n&0x3f<<8 | int(b[at])
			if target >= start {
				return "", 0, false
			}
			next = max(next, at+1)
			at, start = target, target
		case n > 63 || at+n > len(b):
			return "", 0, false
		default:
			if name != "" {
				name += "."
			}
			name += string(b[at : at+n])
			at += n
		}
	}
	return "", 0, false
}
