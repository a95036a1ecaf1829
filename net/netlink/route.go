package netlink

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// route carries out a request of NETLINK_ROUTE.
func (f *Family) route(r *request) syscall.Errno {
	if len(r.payload) == 0 {
		return 0 // no family: Linux ignores it, too
	}
	if r.header.Type&3 == unix.RTM_GETLINK&3 && r.dumps() {
		return f.dump(r)
	}
	switch r.header.Type {
	case unix.RTM_GETLINK:
		return f.getLink(r)
	case unix.RTM_GETROUTE:
		return f.getRoute(r)
	case unix.RTM_GETNEIGH:
		return f.getNeighbor(r)
	}
	f.changes.Lock()
	defer f.changes.Unlock()
	err := f.change(r)
	if err == 0 {
		f.publish(r)
	}
	return err
}

// change carries out a request that changes something. The caller holds f.changes.
func (f *Family) change(r *request) syscall.Errno {
	switch r.header.Type {
	case unix.RTM_NEWLINK, unix.RTM_SETLINK:
		return f.setLink(r)
	case unix.RTM_DELLINK:
		return f.delLink(r)
	case unix.RTM_NEWADDR:
		return f.newAddress(r)
	case unix.RTM_DELADDR:
		return f.delAddress(r)
	case unix.RTM_NEWROUTE:
		return f.newRoute(r)
	case unix.RTM_DELROUTE:
		return f.delRoute(r)
	case unix.RTM_NEWNEIGH:
		return f.newNeighbor(r)
	case unix.RTM_DELNEIGH:
		return f.delNeighbor(r)
	}
	return r.fail(syscall.EOPNOTSUPP, "no such request here")
}

// dump answers a request for a list.
func (f *Family) dump(r *request) syscall.Errno {
	switch r.header.Type {
	case unix.RTM_GETLINK:
		return r.list(f.listLinks)
	case unix.RTM_GETADDR:
		return r.list(f.listAddresses)
	case unix.RTM_GETROUTE:
		return r.list(f.listRoutes)
	case unix.RTM_GETNEIGH:
		return r.list(f.listNeighbors)
	case unix.RTM_GETRULE:
		return r.list(f.listRules)
	}
	return r.fail(syscall.EOPNOTSUPP, "no such list here")
}

// A lister builds the messages of a list.
type lister struct {
	builder
	r     *request
	flags int
}

// next starts a message of the list; end completes it.
func (l *lister) next(typ uint16) {
	l.begin(typ, unix.NLM_F_MULTI|l.flags, l.r.header.Seq, l.r.c.portID())
}

// list answers r with a list.
func (r *request) list(fill func(*lister) syscall.Errno) syscall.Errno {
	l := &lister{r: r}
	if err := fill(l); err != 0 {
		return err
	}
	l.next(unix.NLMSG_DONE)
	put(&l.builder, int32(0))
	l.end()
	if err := r.c.startList(l.b); err != 0 {
		return err
	}
	return errAnswered
}

// filtered notes that the list leaves out what the request did not ask for.
func (l *lister) filtered() { l.flags |= unix.NLM_F_DUMP_FILTERED }
