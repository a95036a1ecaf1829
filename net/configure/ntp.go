package configure

import (
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

const (
	ntpTimeout = 2 * time.Second
	// stepThreshold is how far off a clock is that does not run well, and is looked after more closely
	// (RFC 5905, appendix A, STEPT). Less than that is set at once, too, not little by little: that
	// would take timers which wake a machine with nothing to do.
	stepThreshold = 128 * time.Millisecond
	// Times between queries (RFC 5905, section 7.2: MINPOLL, MAXPOLL of 6 and 10).
	minPoll = 64 * time.Second
	maxPoll = 1024 * time.Second
	// maxRoundTrip is the longest way to the server and back over which its time is of use.
	maxRoundTrip = 1500 * time.Millisecond
	// ntpPatience is after how many rounds of all servers without an answer there is a warning.
	ntpPatience = 3
)

// An ntp sets the clock by time servers, asking one at a time and the next when one fails. It belongs
// to the jobs.
type ntp struct {
	c       *Configuration
	servers []netip.Addr
	refused map[netip.Addr]bool // servers that do not want to be asked
	next    int                 // server to be asked
	failed  int                 // queries without a good answer since the last one with
	poll    time.Duration       // until the next query
	cookie  uint64
	asked   tcpip.MonotonicTime
	wall    time.Time // when asked
	timer   timer
	socket  *socket
}

func (n *ntp) init(c *Configuration) {
	n.c = c
	n.timer.jobs = &c.jobs
	n.refused = make(map[netip.Addr]bool)
	n.poll = minPoll
}

// update takes over the links' servers, and asks one at once if they have changed.
func (n *ntp) update() {
	if n.c.options.Clock == nil {
		return
	}
	var list []netip.Addr
	for _, l := range n.c.links {
		if l.progress() != waiting {
			list = appendNew(list, l.information().ntp...)
		}
	}
	list = slices.DeleteFunc(list, func(a netip.Addr) bool { return n.refused[a] })
	if slices.Equal(list, n.servers) {
		return
	}
	n.servers, n.next, n.failed, n.poll = list, 0, 0, minPoll
	n.timer.stop()
	n.close()
	n.query()
}

func (n *ntp) close() {
	n.socket.close()
	n.socket = nil
}

// query asks the next server.
func (n *ntp) query() {
	if len(n.servers) == 0 {
		return
	}
	server := n.servers[n.next%len(n.servers)]
	to := tcpip.FullAddress{Addr: toStack(server), Port: ntpPort}
	// A socket of its own for each query: a port that others have to guess.
	n.socket, _ = n.c.openSocket(0, tcpip.FullAddress{}, protocol(server), n.receive)
	n.timer.set(ntpTimeout, n.fail)
	if n.socket == nil || n.socket.endpoint.Connect(to) != nil {
		return
	}
	n.cookie = n.c.random.Uint64()
	n.asked, n.wall = n.c.now(), n.c.options.Clock.Now()
	n.socket.send(ntpRequest(n.cookie), to)
}

// fail goes on to the next server, after a pause that grows once all have failed.
func (n *ntp) fail() {
	n.close()
	n.next++
	n.failed++
	wait := ntpTimeout
	if n.failed%len(n.servers) == 0 {
		wait = n.poll
		n.poll = min(2*n.poll, maxPoll)
	}
	if n.failed == ntpPatience*len(n.servers) {
		n.c.options.Warn("no NTP server answers (" + join(n.servers) + "); the clock may be wrong, still asking")
	}
	n.timer.set(n.c.jitter(wait), n.query)
}

// receive takes a datagram of the server that was asked.
func (n *ntp) receive(data []byte) {
	passed := n.c.now().Sub(n.asked)
	a, ok := parseNTP(data, n.cookie)
	if !ok || n.socket == nil {
		return
	}
	if a.kiss != "" {
		n.kiss(a.kiss)
		return
	}
	if trip := passed - a.sent.Sub(a.received); trip.Abs() > maxRoundTrip {
		return
	}
	n.close()
	if n.failed > 0 {
		n.failed, n.poll = 0, minPoll
	}
	// The mean of both directions' differences (RFC 5905, section 8).
	offset := (a.received.Sub(n.wall) + a.sent.Sub(n.wall.Add(passed))) / 2
	n.c.options.Clock.Adjust(offset)
	if offset.Abs() > stepThreshold {
		n.poll = minPoll
	}
	n.timer.set(n.c.jitter(n.poll), n.query)
	n.poll = min(2*n.poll, maxPoll)
}

// kiss obeys a server that refuses (RFC 5905, section 7.4).
func (n *ntp) kiss(code string) {
	server := n.servers[n.next%len(n.servers)]
	switch code {
	case "DENY", "RSTR":
		n.refused[server] = true
		n.c.options.Warn("NTP server " + server.String() + " refuses to serve this machine; it is not asked again")
		n.update()
	case "RATE":
		n.close()
		n.next++
		n.poll = maxPoll
		n.timer.set(n.c.jitter(n.poll), n.query)
	}
}

func join(list []netip.Addr) string {
	text := ""
	for i, a := range list {
		if i > 0 {
			text += ", "
		}
		text += a.String()
	}
	return text
}
