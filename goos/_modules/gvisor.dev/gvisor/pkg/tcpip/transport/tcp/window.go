package tcp

import "gvisor.dev/gvisor/pkg/tcpip/seqnum"

// windowState remembers which segment has told the peer's window last.
type windowState struct {
	known bool
	seq   seqnum.Value // SND.WL1 of RFC 9293
}

// updates reports whether a segment tells the peer's window: one that was overtaken by a newer one does
// not (RFC 9293, section 3.10.7.4; the rule is that of Linux's tcp_may_update_window).
func (s *sender) updates(seg *segment) bool {
	w := &s.ep.window
	if w.known && !s.SndUna.LessThan(seg.ackNumber) && !w.seq.LessThan(seg.sequenceNumber) &&
		(w.seq != seg.sequenceNumber || seg.window != 0 && seg.window <= s.SndWnd) {
		return false
	}
	w.known, w.seq = true, seg.sequenceNumber
	return true
}
