//go:build goshawk

package network

import (
	"github.com/goshawk-os/goshawk/kernel/cmdline"
	linkoptions "github.com/goshawk-os/goshawk/net/configure/options"
)

// options are what the kernel's command line says of the network (docs/design.md section 7).
type options struct {
	links    []linkoptions.Link // eth0 and so on, as far as there is an option
	hostname string             // "" if not given
	pcap     string             // where to capture, "" if nowhere
}

// readOptions reads the options. What is wrong is told to warn, and as if it were not there.
func readOptions(line string, warn func(text string)) (o options) {
	for w := cmdline.Parse(line); ; {
		word, arg, ok := w.Next()
		if !ok || arg {
			return o
		}
		if v, ok := cmdline.Option(word, "net"); ok {
			l, err := linkoptions.Parse(decode(v))
			if err != nil {
				warn("option " + err.Error() + "; the link is configured by DHCP")
				l = linkoptions.Default()
			}
			o.links = append(o.links, l)
		} else if v, ok := cmdline.Option(word, "hostname"); ok {
			o.hostname = decode(v)
			if err := linkoptions.CheckHostname(o.hostname); err != nil {
				warn("option " + err.Error() + "; it is ignored")
				o.hostname = ""
			}
		} else if v, ok := cmdline.Option(word, "pcap"); ok {
			o.pcap = decode(v)
		}
	}
}

// link returns the options of eth0, eth1 and so on.
func (o *options) link(i int) linkoptions.Link {
	if i < len(o.links) {
		return o.links[i]
	}
	return linkoptions.Default()
}

func decode(word string) string {
	b := make([]byte, len(word))
	return string(b[:cmdline.Decode(b, word)])
}
