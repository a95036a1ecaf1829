package inet

import (
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Congestion states of struct tcp_info (linux/tcp.h, enum tcp_ca_state).
const (
	congestionOpen = iota
	congestionDisorder
	_
	congestionRecovery
	congestionLoss
)

// info writes the struct tcp_info of e to value. What the stack does not tell is 0.
func (t *stream) info(e *tcp.Endpoint, value []byte) int {
	var o tcpip.TCPInfoOption
	e.GetSockOpt(&o)
	i := unix.TCPInfo{
		State:        uint8(o.State),
		Rto:          microseconds(o.RTO),
		Rtt:          microseconds(o.RTT),
		Rttvar:       microseconds(o.RTTVar),
		Snd_ssthresh: o.SndSsthresh,
		Snd_cwnd:     o.SndCwnd,
		Rcv_space:    uint32(t.ops.GetReceiveBufferSize() / 2),
	}
	switch o.CcState {
	case tcpip.RTORecovery:
		i.Ca_state = congestionLoss
	case tcpip.FastRecovery, tcpip.SACKRecovery:
		i.Ca_state = congestionRecovery
	case tcpip.Disorder:
		i.Ca_state = congestionDisorder
	default:
		i.Ca_state = congestionOpen
	}
	if i.Snd_ssthresh == 0 || i.Snd_ssthresh > math.MaxInt32 {
		i.Snd_ssthresh = math.MaxInt32
	}
	if mss, err := e.GetSockOptInt(tcpip.MaxSegOption); err == nil {
		i.Snd_mss, i.Rcv_mss, i.Advmss = uint32(mss), uint32(mss), uint32(mss)
	}
	if s, ok := e.Stats().(*tcp.Stats); ok {
		i.Total_retrans = uint32(s.SendErrors.Retransmits.Value())
		i.Segs_in, i.Segs_out = uint32(s.SegmentsReceived.Value()), uint32(s.SegmentsSent.Value())
	}
	if o.ReorderSeen {
		i.Reord_seen = 1
	}
	return copy(value, unsafe.Slice((*byte)(unsafe.Pointer(&i)), unsafe.Sizeof(i)))
}

func microseconds(d time.Duration) uint32 { return uint32(min(d.Microseconds(), math.MaxUint32)) }
