package inet

import "gvisor.dev/gvisor/pkg/tcpip"

// What the files of /proc/net and sock_diag(7) show of a socket.

// Endpoint returns the endpoint that t has now.
func (t *stream) Endpoint() tcpip.Endpoint { return t.endpoint.Load() }

// Endpoint returns d's endpoint.
func (d *datagram) Endpoint() tcpip.Endpoint { return d.endpoint }

// Memberships calls yield for each multicast group that d has joined, until yield returns false.
func (d *datagram) Memberships(yield func(nic tcpip.NICID, group tcpip.Address) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.memberships {
		if !yield(m.nic, m.group) {
			return
		}
	}
}
