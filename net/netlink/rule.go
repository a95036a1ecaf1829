package netlink

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// rules are the rules that Linux starts with, by which a packet tries the tables: they cannot be
// changed here.
var rules = []struct {
	table    uint8
	priority uint32
	ipv6     bool
}{{unix.RT_TABLE_LOCAL, 0, true}, {unix.RT_TABLE_MAIN, 32766, true}, {unix.RT_TABLE_DEFAULT, 32767, false}}

func (f *Family) listRules(l *lister) syscall.Errno {
	for _, domain := range domains(l.r.payload[0]) {
		for _, rule := range rules {
			if domain == syscall.AF_INET6 && !rule.ipv6 {
				continue
			}
			l.next(unix.RTM_NEWRULE)
			// struct fib_rule_hdr has the form of rtmsg; the action is where that has the type.
			put(&l.builder, unix.RtMsg{Family: domain, Table: rule.table, Type: unix.FR_ACT_TO_TBL})
			l.u32(unix.FRA_TABLE, uint32(rule.table))
			l.u32(unix.FRA_SUPPRESS_PREFIXLEN, ^uint32(0))
			if rule.priority != 0 {
				l.u32(unix.FRA_PRIORITY, rule.priority)
			}
			l.u8(unix.FRA_PROTOCOL, uint8(unix.RTPROT_KERNEL))
			l.end()
		}
	}
	return 0
}
