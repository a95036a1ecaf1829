package inet

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// A form says which values an option without an effect takes, and what getsockopt says of them.
type form uint8

const (
	truth    form = iota // 1 for all but 0
	number               // from least to most, else EINVAL
	constant             // never set: ENOPROTOOPT
)

// A rule is an option that a socket only remembers: the stack has nothing for it to change.
type rule struct {
	option
	form        form
	onlyRaw     bool // other sockets cannot set it
	noStream    bool // streams cannot set it
	initial     int32
	least, most int32
}

const (
	levelSocket = syscall.SOL_SOCKET
	levelIP     = syscall.IPPROTO_IP
	level6      = syscall.IPPROTO_IPV6
	levelTCP    = syscall.IPPROTO_TCP
)

// rules are compared with Linux by a test, as all options are.
var rules = [...]rule{
	{option: option{levelSocket, syscall.SO_DEBUG}},
	{option: option{levelSocket, syscall.SO_DONTROUTE}},
	{option: option{levelSocket, syscall.SO_OOBINLINE}},
	{option: option{levelSocket, syscall.SO_PRIORITY}, form: number, least: math.MinInt32, most: math.MaxInt32},
	{option: option{levelSocket, unix.SO_RXQ_OVFL}},
	{option: option{levelSocket, unix.SO_WIFI_STATUS}},
	{option: option{levelSocket, unix.SO_NOFCS}},
	{option: option{levelSocket, unix.SO_LOCK_FILTER}},
	{option: option{levelSocket, unix.SO_SELECT_ERR_QUEUE}},
	{option: option{levelSocket, unix.SO_BUSY_POLL}, form: number, most: math.MaxInt32},
	{option: option{levelSocket, unix.SO_MAX_PACING_RATE}, form: number, initial: -1, least: math.MinInt32, most: math.MaxInt32},
	{option: option{levelSocket, unix.SO_INCOMING_CPU}, form: number, initial: -1, least: math.MinInt32, most: math.MaxInt32},
	{option: option{levelSocket, unix.SO_PREFER_BUSY_POLL}},
	{option: option{levelSocket, unix.SO_BUF_LOCK}, form: number, most: 3},
	{option: option{levelSocket, unix.SO_RCVMARK}},
	{option: option{levelSocket, unix.SO_TIMESTAMP_OLD}},
	{option: option{levelSocket, unix.SO_TIMESTAMPNS_OLD}},
	{option: option{levelSocket, unix.SO_TIMESTAMP_NEW}},
	{option: option{levelSocket, unix.SO_TIMESTAMPNS_NEW}},
	{option: option{levelSocket, unix.SO_INCOMING_NAPI_ID}, form: constant},
	{option: option{levelSocket, unix.SO_ZEROCOPY}, form: constant},
	{option: option{levelSocket, unix.SO_PEEK_OFF}, form: constant, initial: -1},
	{option: option{levelSocket, unix.SO_TXTIME}, form: constant},
	{option: option{levelSocket, unix.SO_SNDLOWAT}, form: constant, initial: 1},

	{option: option{levelIP, syscall.IP_PKTINFO}},
	{option: option{levelIP, syscall.IP_RECVTTL}},
	{option: option{levelIP, syscall.IP_RECVTOS}},
	{option: option{levelIP, unix.IP_RECVORIGDSTADDR}},
	{option: option{levelIP, syscall.IP_RECVOPTS}},
	{option: option{levelIP, syscall.IP_RETOPTS}},
	{option: option{levelIP, syscall.IP_PASSSEC}},
	{option: option{levelIP, syscall.IP_FREEBIND}},
	{option: option{levelIP, syscall.IP_TRANSPARENT}},
	{option: option{levelIP, unix.IP_BIND_ADDRESS_NO_PORT}},
	{option: option{levelIP, unix.IP_CHECKSUM}},
	{option: option{levelIP, unix.IP_RECVERR_RFC4884}, form: number, most: 1},
	{option: option{levelIP, unix.IP_MULTICAST_ALL}, form: number, initial: 1, most: 1},
	{option: option{levelIP, syscall.IP_MINTTL}, form: number, most: 255},
	{option: option{levelIP, unix.IP_NODEFRAG}, onlyRaw: true},
	{option: option{levelIP, syscall.IP_ROUTER_ALERT}, onlyRaw: true},
	{option: option{levelIP, unix.IP_RECVFRAGSIZE}, noStream: true},

	{option: option{level6, unix.IPV6_RECVPKTINFO}},
	{option: option{level6, unix.IPV6_RECVHOPLIMIT}},
	{option: option{level6, unix.IPV6_RECVTCLASS}},
	{option: option{level6, unix.IPV6_RECVORIGDSTADDR}},
	{option: option{level6, unix.IPV6_2292PKTINFO}},
	{option: option{level6, unix.IPV6_2292HOPOPTS}},
	{option: option{level6, unix.IPV6_2292DSTOPTS}},
	{option: option{level6, unix.IPV6_2292RTHDR}},
	{option: option{level6, unix.IPV6_2292HOPLIMIT}},
	{option: option{level6, unix.IPV6_RECVRTHDR}},
	{option: option{level6, unix.IPV6_RECVHOPOPTS}},
	{option: option{level6, unix.IPV6_RECVDSTOPTS}},
	{option: option{level6, unix.IPV6_RECVPATHMTU}},
	{option: option{level6, unix.IPV6_RECVFRAGSIZE}},
	{option: option{level6, unix.IPV6_TRANSPARENT}},
	{option: option{level6, unix.IPV6_FREEBIND}},
	{option: option{level6, unix.IPV6_DONTFRAG}},
	{option: option{level6, unix.IPV6_AUTOFLOWLABEL}, initial: 1},
	{option: option{level6, ipv6FlowInfo}},
	{option: option{level6, ipv6FlowInfoSend}},
	{option: option{level6, ipv6MulticastAll}, initial: 1},
	{option: option{level6, ipv6RouterAlertIsolate}},
	{option: option{level6, ipv6RecvErr4884}, form: number, most: 1},
	{option: option{level6, unix.IPV6_MINHOPCOUNT}, form: number, most: 255},
	{option: option{level6, unix.IPV6_ROUTER_ALERT}, form: number, onlyRaw: true, least: -1, most: math.MaxInt32},

	{option: option{levelTCP, unix.TCP_FASTOPEN_CONNECT}, form: number, most: 1},
	{option: option{levelTCP, unix.TCP_FASTOPEN_NO_COOKIE}, form: number, most: 1},
	{option: option{levelTCP, unix.TCP_INQ}, form: number, most: 1},
	{option: option{levelTCP, unix.TCP_THIN_LINEAR_TIMEOUTS}, form: number, most: 1},
	{option: option{levelTCP, unix.TCP_SAVE_SYN}, form: number, most: 2},
	{option: option{levelTCP, unix.TCP_NOTSENT_LOWAT}, form: number, least: math.MinInt32, most: math.MaxInt32},
	{option: option{levelTCP, unix.TCP_TX_DELAY}, form: number, most: 1<<20 - 1},
	{option: option{levelTCP, tcpIsMPTCP}, form: constant},
	{option: option{levelTCP, tcpMaxRTO}, form: number, initial: 120000, least: 1000, most: 120000},

	{option: option{syscall.IPPROTO_UDP, unix.UDP_GRO}},
	{option: option{syscall.IPPROTO_UDP, unix.UDP_NO_CHECK6_TX}},
	{option: option{syscall.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX}},
}

// Options that golang.org/x/sys does not name (linux/in6.h, linux/tcp.h).
const (
	ipv6FlowInfo           = 11
	ipv6MulticastAll       = 29
	ipv6RouterAlertIsolate = 30
	ipv6RecvErr4884        = 31
	ipv6FlowInfoSend       = 33
	tcpIsMPTCP             = 43
	tcpMaxRTO              = 44
)

func findRule(level, name int) *rule {
	for i := range rules {
		if r := &rules[i]; r.option == (option{int32(level), int32(name)}) {
			return r
		}
	}
	return nil
}

// getKept carries out getsockopt of an option that is only remembered.
func (b *base) getKept(level, name int, value []byte) (int, syscall.Errno) {
	r := findRule(level, name)
	if r == nil {
		return 0, syscall.ENOPROTOOPT
	}
	return putInt(value, b.remembered(level, name, int(r.initial))), 0
}

// setKept carries out setsockopt of an option that is only remembered.
func (b *base) setKept(level, name, v int) syscall.Errno {
	r := findRule(level, name)
	switch {
	case r == nil || r.form == constant:
		return syscall.ENOPROTOOPT
	case r.onlyRaw && b.kind != syscall.SOCK_RAW:
		if name == unix.IP_NODEFRAG || level == level6 {
			return syscall.ENOPROTOOPT
		}
		return syscall.EINVAL
	case r.noStream && b.kind == syscall.SOCK_STREAM:
		return syscall.EINVAL
	case r.form == truth:
		v = toInt(v != 0)
	case v < int(r.least) || v > int(r.most):
		return syscall.EINVAL
	}
	b.remember(level, name, v)
	return 0
}

// remember keeps the value of an option, for getsockopt.
func (b *base) remember(level, name, v int) {
	b.settings.mu.Lock()
	defer b.settings.mu.Unlock()
	if b.settings.values == nil {
		b.settings.values = make(map[option]int32)
	}
	b.settings.values[option{int32(level), int32(name)}] = int32(v)
}

// remembered returns the value of an option that was remembered, or its initial one.
func (b *base) remembered(level, name, initial int) int {
	b.settings.mu.Lock()
	defer b.settings.mu.Unlock()
	if v, ok := b.settings.values[option{int32(level), int32(name)}]; ok {
		return int(v)
	}
	return initial
}
