package inet

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// levels are the options that are compared with Linux's: all numbers up to the last that it knows.
var levels = []struct {
	name        string
	level, last int
}{
	{"SOL_SOCKET", syscall.SOL_SOCKET, 80},
	{"IPPROTO_IP", syscall.IPPROTO_IP, 52},
	{"IPPROTO_IPV6", syscall.IPPROTO_IPV6, 80},
	{"IPPROTO_TCP", syscall.IPPROTO_TCP, 45},
	{"IPPROTO_UDP", syscall.IPPROTO_UDP, 105},
}

// values are tried with setsockopt.
var values = []int{-2, -1, 0, 1, 2, 3, 5, 64, 128, 255, 256, 1500, 40000, 100000, 1 << 30}

func TestOptions(t *testing.T) {
	s := newStack(t)
	for _, domain := range []int{ip4, ip6} {
		for _, kind := range []int{streams, dgrams} {
			for _, l := range levels {
				for name := 1; name <= l.last; name++ {
					o := option{int32(l.level), int32(name)}
					if different[o] != "" || differentFor[sockets{domain, kind}][o] != "" {
						continue
					}
					what := fmt.Sprintf("domain %d, kind %d, %s %d", domain, kind, l.name, name)
					assert.Equal(t, setAndGet(t, linux{}, domain, kind, o), setAndGet(t, ours{s}, domain, kind, o), what)
				}
			}
		}
	}
}

// setAndGet returns what each value makes of an option of a fresh socket.
func setAndGet(t *testing.T, m machine, domain, kind int, o option) []string {
	f, e := m.socket(domain, kind, 0)
	require.Zero(t, e)
	v, e := f.getOption(int(o.level), int(o.name), 4)
	log := []string{fmt.Sprintf("at first %v %s", v, errorName(e))}
	f.close()
	for _, value := range values {
		f, e := m.socket(domain, kind, 0)
		require.Zero(t, e)
		set := f.setOption(int(o.level), int(o.name), cint(value))
		v, e := f.getOption(int(o.level), int(o.name), 4)
		log = append(log, fmt.Sprintf("%d: %s, then %v %s", value, errorName(set), v, errorName(e)))
		f.close()
	}
	return log
}

type sockets struct{ domain, kind int }

// different are options that are not compared, with the reason.
var different = map[option]string{}

// differentFor are options of which only some sockets' differ.
var differentFor = map[sockets]map[option]string{
	{ip6, streams}: {{levelIP, 49}: "IP_MULTICAST_ALL is on by default, for IPv6 sockets as well"},
	{ip6, dgrams}:  {{levelIP, 49}: "IP_MULTICAST_ALL is on by default, for IPv6 sockets as well"},
}

func init() {
	for reason, list := range map[string][]option{
		"the personality answers": {{levelSocket, 3}, {levelSocket, 20}, {levelSocket, 21}, {levelSocket, 38}, {levelSocket, 39}, {levelSocket, 66}, {levelSocket, 67}},
		"the size or value is the machine's": {{levelSocket, 7}, {levelSocket, 18}, {levelTCP, 13}, {levelTCP, 24}, {levelTCP, 26}, {level6, 17},
			{levelSocket, 71}, {levelTCP, 45}},
		"a filter of TCP segments, or of eBPF, is refused":                {{levelSocket, 26}, {levelSocket, 50}, {levelSocket, 51}, {levelSocket, 52}, {levelSocket, 68}},
		"stamps of what was sent, zero-copy and send times are refused":   {{levelSocket, 37}, {levelSocket, 65}, {levelSocket, 60}, {levelSocket, 61}},
		"SO_PEEK_OFF is refused":                                          {{levelSocket, 42}},
		"an interface that is not there is refused":                       {{levelSocket, 62}},
		"busy polling, reserved memory, TX re-hashing, rights: not there": {{levelSocket, 70}, {levelSocket, 73}, {levelSocket, 74}, {levelSocket, 80}},
		"IP options and extension headers are not there":                  {{levelIP, 4}, {level6, 6}, {level6, 61}, {level6, 50}, {level6, 72}},
		"IPsec, packet filters, flow labels and anycast are not there": {{levelIP, 16}, {levelIP, 17}, {level6, 27}, {level6, 28}, {level6, 32}, {level6, 34},
			{level6, 35}, {level6, 64}, {level6, 65}, {level6, 68}, {level6, 69}, {level6, 80}},
		"full-state filters of sources are not there": {{levelIP, 41}, {levelIP, 48}, {level6, 48}},
		"a socket keeps its family":                   {{level6, 1}},
		"port ranges of a socket, and its protocol":   {{levelIP, 51}, {levelIP, 52}},
		"MD5 signatures, repair, zero-copy receive, fast-open keys are not there": {{levelTCP, 14}, {levelTCP, 19}, {levelTCP, 20}, {levelTCP, 21}, {levelTCP, 22},
			{levelTCP, 29}, {levelTCP, 32}, {levelTCP, 33}, {levelTCP, 35}},
		"encapsulation in UDP is not there": {{syscall.IPPROTO_UDP, 10}, {syscall.IPPROTO_UDP, 11}, {syscall.IPPROTO_UDP, 100}},
	} {
		for _, o := range list {
			different[o] = reason
		}
	}
}
