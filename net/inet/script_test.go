package inet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A scenario is a story about sockets, told once to Linux and once to ours: what it logs must be equal.
type scenario struct {
	name string
	run  func(s *script)
}

// compare runs the scenarios on both sides.
func compare(t *testing.T, scenarios []scenario) {
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want, got := tell(linux{}, c.run), tell(ours{newStack(t)}, c.run)
			assert.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"))
		})
	}
}

func tell(m machine, run func(s *script)) []string {
	s := &script{m: m, fds: make(map[string]fd)}
	defer func() {
		for _, f := range s.open {
			f.close()
		}
	}()
	run(s)
	return s.log
}

// A script carries out a scenario. Sockets have names.
type script struct {
	m     machine
	log   []string
	fds   map[string]fd
	open  []fd // each once, also those whose name another one has by now
	ports []namedPort
}

type namedPort struct {
	port   uint16
	stream bool // the numbers of TCP and UDP are apart
	name   string
}

func (s *script) say(format string, a ...any) { s.log = append(s.log, fmt.Sprintf(format, a...)) }

func (s *script) add(name string, f fd) {
	s.fds[name] = f
	s.open = append(s.open, f)
}

const (
	ip4     = syscall.AF_INET
	ip6     = syscall.AF_INET6
	streams = syscall.SOCK_STREAM
	dgrams  = syscall.SOCK_DGRAM
)

// errorName returns an error's symbol.
func errorName(e syscall.Errno) string {
	if e == 0 {
		return "ok"
	}
	return unix.ErrnoName(e)
}

// eventNames are in the order of poll.h.
var eventNames = []struct {
	bit  uint32
	name string
}{{socket.In, "IN"}, {socket.Pri, "PRI"}, {socket.Out, "OUT"}, {socket.Err, "ERR"}, {socket.Hup, "HUP"}, {socket.RdHup, "RDHUP"}}

func eventList(mask uint32) string {
	var names []string
	for _, e := range eventNames {
		if mask&e.bit != 0 {
			names = append(names, e.name)
		}
	}
	return "[" + strings.Join(names, " ") + "]"
}

// learn gives the port of a socket its name.
func (s *script) learn(name string) {
	if f := s.fds[name]; f != nil {
		stream := s.stream(name)
		if a, e := f.local(); e == 0 && len(a) >= 4 && port(a) != 0 &&
			!slices.ContainsFunc(s.ports, func(p namedPort) bool { return p.port == port(a) && p.stream == stream }) {
			s.ports = append(s.ports, namedPort{port(a), stream, name})
		}
	}
}

// stream reports whether a socket is one of SOCK_STREAM.
func (s *script) stream(name string) bool {
	v, _ := s.fds[name].getOption(syscall.SOL_SOCKET, syscall.SO_TYPE, 4)
	return len(v) == 4 && binary.NativeEndian.Uint32(v) == streams
}

// text returns a struct sockaddr of the socket name or of a peer of it as text, with names for ports.
func (s *script) text(name string, a []byte) string {
	if len(a) < 8 {
		return fmt.Sprintf("%d bytes", len(a))
	}
	var addr netip.Addr
	zone := uint32(0)
	switch binary.NativeEndian.Uint16(a) {
	case syscall.AF_INET:
		addr = netip.AddrFrom4([4]byte(a[4:8]))
	case syscall.AF_INET6:
		addr = netip.AddrFrom16([16]byte(a[8:24]))
		zone = binary.NativeEndian.Uint32(a[24:])
	default:
		return fmt.Sprintf("%d bytes of family %d", len(a), binary.NativeEndian.Uint16(a))
	}
	p, stream := fmt.Sprint(port(a)), s.stream(name)
	for _, n := range s.ports {
		if n.port == port(a) && n.stream == stream {
			p = "port of " + n.name
		}
	}
	return fmt.Sprintf("%d bytes %v%%%d %s", len(a), addr, zone, p)
}

func (s *script) socket(name string, domain, kind, protocol int) bool {
	f, e := s.m.socket(domain, kind, protocol)
	s.say("socket %s: %s", name, errorName(e))
	if e == 0 {
		s.add(name, f)
	}
	return e == 0
}

// resolve returns the address that text stands for: an address with port, or one without and with the
// name of the socket whose port is meant, "127.0.0.1@server".
func (s *script) resolve(domain int, text string) []byte {
	if at := strings.IndexByte(text, '@'); at >= 0 {
		a := sockaddr(domain, netip.AddrPortFrom(netip.MustParseAddr(text[:at]), 0).String())
		local, _ := s.fds[text[at+1:]].local()
		copy(a[2:4], local[2:4])
		return a
	}
	return sockaddr(domain, text)
}

func (s *script) domain(name string) int {
	switch f := s.fds[name].(type) {
	case *ourFD:
		d, _, _ := f.Kind()
		return d
	case linuxFD:
		d, _ := unix.GetsockoptInt(int(f), unix.SOL_SOCKET, unix.SO_DOMAIN)
		return d
	}
	panic("no socket " + name)
}

func (s *script) bind(name, to string) {
	e := s.fds[name].bind(s.resolve(s.domain(name), to))
	s.learn(name)
	s.say("bind %s %s: %s", name, to, errorName(e))
}

func (s *script) listen(name string, backlog int) {
	e := s.fds[name].listen(backlog)
	s.learn(name)
	s.say("listen %s: %s", name, errorName(e))
}

func (s *script) connect(name, to string) {
	e := s.fds[name].connect(s.resolve(s.domain(name), to))
	s.learn(name)
	s.say("connect %s %s: %s", name, to, errorName(e))
}

func (s *script) accept(listener, name string) {
	f, a, e := s.fds[listener].accept()
	if e != 0 {
		s.say("accept %s: %s", listener, errorName(e))
		return
	}
	s.add(name, f)
	s.say("accept %s: %s from %s", listener, name, s.text(name, a))
}

func (s *script) names(name string) {
	a, e := s.fds[name].local()
	b, f := s.fds[name].peer()
	local, peer := errorName(e), errorName(f)
	if e == 0 {
		local = s.text(name, a)
	}
	if f == 0 {
		peer = s.text(name, b)
	}
	s.say("%s is %s, its peer %s", name, local, peer)
}

func (s *script) write(name, data string) {
	n, e := s.fds[name].write([]byte(data))
	s.learn(name)
	s.say("write %s %d: %d %s", name, len(data), n, errorName(e))
}

func (s *script) read(name string, size int) {
	p := make([]byte, size)
	n, e := s.fds[name].read(p)
	s.say("read %s %d: %q %s", name, size, p[:n], errorName(e))
}

func (s *script) shutdown(name string, how int) {
	s.say("shutdown %s %d: %s", name, how, errorName(s.fds[name].shutdown(how)))
}

func (s *script) close(name string) {
	closed := s.fds[name]
	closed.close()
	s.fds[name] = nil
	s.open = slices.DeleteFunc(s.open, func(f fd) bool { return f == closed })
	s.say("close %s", name)
}

// wait waits until a socket is ready for all of the events, and logs for what.
func (s *script) wait(name string, mask uint32) {
	f := s.fds[name]
	eventually(func() bool { return f.poll()&mask == mask })
	s.say("poll %s: %s", name, eventList(f.poll()))
}

// poll logs what a socket is ready for after a while.
func (s *script) poll(name string) {
	s.settle()
	s.say("poll %s: %s", name, eventList(s.fds[name].poll()))
}

// settle gives what is under way the time to arrive.
func (s *script) settle() { time.Sleep(20 * time.Millisecond) }

func (s *script) get(name string, level, option, size int) {
	v, e := s.fds[name].getOption(level, option, size)
	if e != 0 {
		s.say("get %s %d %d: %s", name, level, option, errorName(e))
		return
	}
	s.say("get %s %d %d: %v", name, level, option, v)
}

func (s *script) set(name string, level, option int, value []byte) {
	s.say("set %s %d %d %v: %s", name, level, option, value, errorName(s.fds[name].setOption(level, option, value)))
}

func (s *script) setInt(name string, level, option, v int) {
	s.say("set %s %d %d %d: %s", name, level, option, v, errorName(s.fds[name].setOption(level, option, cint(v))))
}

// cint returns a C int.
func cint(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// soError takes the pending error.
func (s *script) soError(name string) {
	v, e := s.fds[name].getOption(syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
	if e != 0 {
		s.say("error of %s: cannot be asked: %s", name, errorName(e))
		return
	}
	s.say("error of %s: %s", name, errorName(syscall.Errno(binary.NativeEndian.Uint32(v))))
}

// receive logs a message with its name, flags and control messages.
func (s *script) receive(name string, size, control, flags int) {
	m := message{data: make([]byte, size), name: make([]byte, 128), control: make([]byte, control)}
	n, e := s.fds[name].receive(&m, flags)
	if e != 0 {
		s.say("receive %s: %s", name, errorName(e))
		return
	}
	from := "nobody"
	if len(m.name) > 0 {
		from = s.text(name, m.name)
	}
	s.say("receive %s: %d %q from %s, flags %#x", name, n, m.data[:min(n, size)], from, m.flags&^syscall.MSG_CMSG_CLOEXEC)
	for b := m.control; ; {
		level, kind, data, rest, ok, err := socket.NextControl(b)
		if err != 0 || !ok {
			break
		}
		s.say("  control %d %d: %v", level, kind, data)
		b = rest
	}
}

// send sends a message to an address, "" for none.
func (s *script) send(name, to, data string, control []byte, flags int) {
	m := message{data: []byte(data), control: control}
	if to != "" {
		m.name = s.resolve(s.domain(name), to)
	}
	n, e := s.fds[name].send(&m, flags)
	s.learn(name)
	s.say("send %s %q to %q: %d %s", name, data, to, n, errorName(e))
}

// pair makes a listening socket "server", a client, and the peer that was accepted.
func (s *script) pair(domain int, at string) {
	s.socket("server", domain, streams, 0)
	s.bind("server", netip.AddrPortFrom(netip.MustParseAddr(at), 0).String())
	s.listen("server", 5)
	s.socket("client", domain, streams, 0)
	s.connect("client", at+"@server")
	s.wait("client", socket.Out)
	s.wait("server", socket.In)
	s.accept("server", "peer")
}

func pointerTo(v *int32) unsafe.Pointer { return unsafe.Pointer(v) }
