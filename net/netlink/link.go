package netlink

import (
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// extSkipStats is RTEXT_FILTER_SKIP_STATS.
const extSkipStats = 1 << 3

func (f *Family) listLinks(l *lister) syscall.Errno {
	ask, ok := get[unix.IfInfomsg](l.r.payload)
	if l.r.strict() && (!ok || ask.Type != 0 || ask.Flags != 0 || ask.Change != 0 || ask.Index != 0) {
		return l.r.fail(syscall.EINVAL, "ipv4: Invalid values in header for link dump request")
	}
	a := parse(l.r.payload[min(unix.SizeofIfInfomsg, len(l.r.payload)):])
	mask, _ := a.u32(unix.IFLA_EXT_MASK)
	master, _ := a.u32(unix.IFLA_MASTER)
	if master != 0 || parse(a[unix.IFLA_LINKINFO])[unix.IFLA_INFO_KIND] != nil {
		l.filtered() // no link has a master, or is of a kind that software makes
		return 0
	}
	for _, link := range f.stack.Links() {
		l.next(unix.RTM_NEWLINK)
		putLink(&l.builder, link, mask, 0)
		l.end()
	}
	return 0
}

// putLink appends a struct ifinfomsg and its attributes, as rtnl_fill_ifinfo of Linux does.
func putLink(m *builder, link *netstack.Link, mask, change uint32) {
	l := inventory.Describe(link)
	put(m, unix.IfInfomsg{Type: l.Type, Index: int32(l.Index), Flags: l.Flags, Change: change})
	m.text(unix.IFLA_IFNAME, l.Name)
	m.u32(unix.IFLA_TXQLEN, uint32(inventory.SendQueue))
	m.u8(unix.IFLA_OPERSTATE, l.OperState)
	m.u8(unix.IFLA_LINKMODE, uint8(0))
	m.u32(unix.IFLA_MTU, l.MTU)
	m.u32(unix.IFLA_MIN_MTU, uint32(l.MinMTU))
	m.u32(unix.IFLA_MAX_MTU, uint32(l.MaxMTU))
	m.u32(unix.IFLA_GROUP, uint32(0))
	m.u32(unix.IFLA_PROMISCUITY, l.Flags&unix.IFF_PROMISC/unix.IFF_PROMISC)
	m.u32(unix.IFLA_NUM_TX_QUEUES, uint32(1))
	m.u32(unix.IFLA_NUM_RX_QUEUES, uint32(1))
	m.u8(unix.IFLA_CARRIER, uint8(l.Flags&unix.IFF_LOWER_UP/unix.IFF_LOWER_UP))
	m.text(unix.IFLA_QDISC, "noqueue")
	m.attr(unix.IFLA_ADDRESS, l.Address)
	m.attr(unix.IFLA_BROADCAST, l.Broadcast)
	if mask&extSkipStats == 0 {
		value(m, unix.IFLA_STATS64, l.Statistics)
		value(m, unix.IFLA_STATS, l.Statistics.Short())
	}
}

// link finds the link that a request means, by its index or its name.
func (f *Family) link(r *request) (*netstack.Link, *attrs, syscall.Errno) {
	ask, ok := get[unix.IfInfomsg](r.payload)
	if !ok {
		return nil, nil, syscall.EINVAL
	}
	a := parse(r.payload[unix.SizeofIfInfomsg:])
	var l *netstack.Link
	if ask.Index == 0 {
		name := a.text(unix.IFLA_IFNAME)
		if name == "" {
			name = a.text(unix.IFLA_ALT_IFNAME)
		}
		if name == "" {
			return nil, a, r.fail(syscall.EINVAL, "neither an index nor a name")
		}
		l = f.stack.LinkByName(name)
	} else {
		l = f.stack.Link(int(ask.Index))
	}
	if l == nil {
		return nil, a, syscall.ENODEV
	}
	return l, a, 0
}

func (f *Family) getLink(r *request) syscall.Errno {
	l, a, err := f.link(r)
	if err != 0 {
		return err
	}
	mask, _ := a.u32(unix.IFLA_EXT_MASK)
	r.reply(unix.RTM_NEWLINK, func(m *builder) { putLink(m, l, mask, 0) })
	return 0
}

func (f *Family) delLink(r *request) syscall.Errno {
	if _, _, err := f.link(r); err != 0 {
		return err
	}
	return r.fail(syscall.EOPNOTSUPP, "links are devices of the machine: none can be deleted")
}

// setLink changes a link: its MTU, and its flags IFF_UP and IFF_PROMISC.
func (f *Family) setLink(r *request) syscall.Errno {
	l, a, err := f.link(r)
	if r.header.Type == unix.RTM_NEWLINK && r.is(unix.NLM_F_CREATE) {
		if err == 0 && r.is(unix.NLM_F_EXCL) {
			return syscall.EEXIST
		}
		if err == syscall.ENODEV || a != nil && a[unix.IFLA_LINKINFO] != nil {
			return r.fail(syscall.EOPNOTSUPP, "links are devices of the machine: none can be made")
		}
	}
	if err != 0 {
		return err
	}
	for typ, v := range a {
		same := false
		switch typ {
		case unix.IFLA_MTU, unix.IFLA_EXT_MASK, unix.IFLA_TXQLEN: // there is no such queue: any length is right
			same = true
		case unix.IFLA_IFNAME:
			same = a.text(typ) == l.Name()
		case unix.IFLA_ADDRESS:
			same = string(v) == string(l.MAC())
		case unix.IFLA_MASTER:
			master, err := a.u32(typ)
			same = err == 0 && master == 0
		}
		if v != nil && !same {
			return r.fail(syscall.EOPNOTSUPP, "only the flags and the MTU of a link can be changed")
		}
	}
	if a[unix.IFLA_MTU] != nil {
		mtu, err := a.u32(unix.IFLA_MTU)
		if err == 0 {
			err = errno(l.SetMTU(int(mtu)))
		}
		if err != 0 {
			return err
		}
	}
	ask, _ := get[unix.IfInfomsg](r.payload)
	switch {
	case ask.Change != 0:
		return setFlags(l, l.Flags()&^ask.Change|ask.Flags&ask.Change)
	case ask.Flags != 0:
		return setFlags(l, ask.Flags)
	}
	return 0
}

// setFlags brings a link up or down, and turns promiscuous mode on or off. Other flags have no effect,
// as most have none on Linux.
func setFlags(l *netstack.Link, flags uint32) syscall.Errno {
	if on := flags&unix.IFF_PROMISC != 0; on != (l.Flags()&unix.IFF_PROMISC != 0) {
		if err := l.SetPromiscuous(on); err != nil {
			return syscall.EOPNOTSUPP
		}
	}
	return errno(l.SetUp(flags&unix.IFF_UP != 0))
}

// errno returns Linux's number of an error of the stack, 0 for nil.
func errno(err tcpip.Error) syscall.Errno {
	switch err.(type) {
	case nil:
		return 0
	case *tcpip.ErrUnknownNICID, *tcpip.ErrUnknownDevice:
		return syscall.ENODEV
	case *tcpip.ErrDuplicateAddress:
		return syscall.EEXIST
	case *tcpip.ErrBadLocalAddress:
		return syscall.EADDRNOTAVAIL
	case *tcpip.ErrNotSupported:
		return syscall.EOPNOTSUPP
	case *tcpip.ErrHostUnreachable:
		return syscall.EHOSTUNREACH
	case *tcpip.ErrNetworkUnreachable:
		return syscall.ENETUNREACH
	}
	return syscall.EINVAL
}
