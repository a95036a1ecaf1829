package goos

import (
	"slices"
	"strings"
)

// moduleFiles holds files that join packages of other modules, by import path.
const moduleFiles = "goos/_modules/"

// omitted are files of other modules that are left out, "..." meaning any text.
var omitted = []string{
	// The logger is replaced (goos/_modules): it is large, and it imports
	// encoding/json, whose tests are in the package itself and import net/http,
	// so that it cannot lie below net.
	"gvisor.dev/gvisor/pkg/log/....go",
	// What saves and restores a stack. Its registration keeps all of it in the image.
	"gvisor.dev/gvisor/pkg/..._state_autogen.go",
	// The mutex is replaced (goos/_modules).
	"gvisor.dev/gvisor/pkg/sync/mutex_unsafe.go",
}

const tcpPackage = "gvisor.dev/gvisor/pkg/tcpip/transport/tcp/"

// moduleEdits are edits of other modules' files, whose File begins with the
// module's path.
var moduleEdits = []edit{
	// Delayed acknowledgements: goos/_modules/.../tcp/acks.go.
	{
		File: tcpPackage + "endpoint.go",
		Old:  "\t// amss is the advertised MSS to the peer by this endpoint.\n",
		New:  "\tack ackState\n\tdirect directState\n\twindow windowState\n\twait waitState\n\n\t// amss is the advertised MSS to the peer by this endpoint.\n",
	},
	{
		File: tcpPackage + "protocol.go",
		Old:  "\tdispatcher dispatcher\n",
		New:  "\tdispatcher dispatcher\n\tacks ackQueue\n\twaits waitQueue\n",
	},
	{
		File: tcpPackage + "connect.go",
		Old:  "\tif e.rcv.RcvNxt != e.snd.MaxSentAck {\n\t\te.snd.sendAck()\n",
		New:  "\tif e.rcv.RcvNxt != e.snd.MaxSentAck {\n\t\te.acknowledge()\n",
	},
	{
		File: tcpPackage + "snd.go",
		Old:  "\tpkt = pkt.Clone()\n\tdefer pkt.DecRef()\n\n\treturn s.ep.sendRaw(",
		New:  "\tpkt = pkt.Clone()\n\tdefer pkt.DecRef()\n\ts.ep.ack.replied = true\n\n\treturn s.ep.sendRaw(",
	},
	// Processing by the goroutine that delivers: goos/_modules/.../tcp/inline.go.
	{
		File: tcpPackage + "dispatcher.go",
		Old:  "\t\"math/rand\"\n",
		New:  "\t\"math/rand\"\n\t\"sync/atomic\"\n",
	},
	{
		File: tcpPackage + "dispatcher.go",
		Old:  "\tepQ              epQueue\n",
		New:  "\tepQ              epQueue\n\tdeferred atomic.Int32 // goroutines between Defer and Process\n",
	},
	{
		File: tcpPackage + "dispatcher.go",
		Old:  "\tp.epQ.enqueue(ep)\n\tp.newEndpointWaker.Assert()\n",
		New:  "\tp.epQ.enqueue(ep)\n\tif p.deferred.Load() == 0 {\n\t\tp.newEndpointWaker.Assert()\n\t}\n",
	},
	// Time is counted in nanoseconds: seconds and nanoseconds apart cost a tenth of all instructions.
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/tcpip.go",
		Old:  "time.Unix(0, mt.nanoseconds).Add(d).Sub(time.Unix(0, 0)).Nanoseconds()",
		New:  "mt.nanoseconds + int64(d)",
	},
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/tcpip.go",
		Old:  "time.Unix(0, mt.nanoseconds).Sub(time.Unix(0, u.nanoseconds))",
		New:  "time.Duration(mt.nanoseconds - u.nanoseconds)",
	},
	// Headers are looked at many times, and nearly always lie in the first view of a packet.
	{
		File: "gvisor.dev/gvisor/pkg/buffer/buffer.go",
		Old:  "\ttgt := Range{begin: offset, end: offset + length}\n\tif tgt.Intersect",
		New: "\tif v := b.data.head; v != nil && offset+length <= v.write-v.read && v.chunk.refCount.Load() == 1 {\n" +
			"\t\treturn View{read: v.read + offset, write: v.read + offset + length, chunk: v.chunk}, true\n\t}\n" +
			"\ttgt := Range{begin: offset, end: offset + length}\n\tif tgt.Intersect",
	},
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/stack/packet_buffer.go",
		Old:  "func (h PacketHeader) Slice() []byte {\n",
		New: "func (h PacketHeader) Slice() []byte {\n" +
			"\tif p := h.pk.buf.Front(h.pk.headerOffsetOf(h.typ), h.pk.headers[h.typ].length); p != nil {\n\t\treturn p\n\t}\n",
	},
	// A segment takes part in its packet, which nobody else changes.
	{
		File: tcpPackage + "segment.go",
		Old:  "\ts.pkt = pkt.Clone()\n\ts.csumValid",
		New:  "\ts.pkt = pkt.IncRef()\n\ts.csumValid",
	},
	// The direct way of a connection's packets: goos/_modules/.../stack/direct.go.
	{
		File: tcpPackage + "endpoint.go",
		Old:  "func (e *Endpoint) initGSO() {\n",
		New:  "func (e *Endpoint) initGSO() {\n\te.direct.outside.Store(e.route.Outside())\n",
	},
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/stack/route.go",
		Old:  "\treturn r.outgoingNIC.getNetworkEndpoint(r.NetProto()).WritePacket(r, params, pkt)\n",
		New: "\tif written, err := r.writeDirect(&params, pkt); written {\n\t\treturn err\n\t}\n" +
			"\treturn r.outgoingNIC.getNetworkEndpoint(r.NetProto()).WritePacket(r, params, pkt)\n",
	},
	// What a window offers it does not take back, not even the part that the scaled field cannot say: a
	// peer that has used it would be out of step (RFC 9293, section 3.8.6.2.1).
	{
		File: tcpPackage + "rcv.go",
		Old:  "\tr.rcvWnd = newWnd\n\tr.rcvWUP",
		New: "\tunit := seqnum.Size(1)<<r.RcvWndScale - 1\n\tnewWnd = (newWnd + unit) &^ unit\n" +
			"\tif edge := r.RcvNxt.Add(newWnd); r.RcvAcc.LessThan(edge) {\n\t\tr.RcvAcc = edge\n\t}\n\tr.rcvWnd = newWnd\n\tr.rcvWUP",
	},
	// Nor does a segment that was overtaken tell a window: goos/_modules/.../tcp/window.go.
	{
		File: tcpPackage + "snd.go",
		Old:  "\ts.SndWnd = rcvdSeg.window\n",
		New:  "\tif s.updates(rcvdSeg) {\n\t\ts.SndWnd = rcvdSeg.window\n\t}\n",
	},
	// Endpoints in TIME-WAIT are bounded, and share a timer: goos/_modules/.../tcp/timewait.go.
	{
		File: tcpPackage + "endpoint.go",
		Old:  "\toldstate := EndpointState(e.state.Swap(uint32(state)))\n",
		New:  "\toldstate := EndpointState(e.state.Swap(uint32(state)))\n\te.protocol.waits.moved(e, oldstate, state)\n",
	},
	{
		File: tcpPackage + "dispatcher.go",
		Old: "\ttimeWaitDuration := ep.getTimeWaitDuration()\n" +
			"\tep.timeWaitTimer = ep.stack.Clock().AfterFunc(timeWaitDuration, ep.timeWaitTimerExpired)\n",
		New: "\tep.startWaiting()\n",
	},
	{
		File: tcpPackage + "dispatcher.go",
		Old:  "\t\tep.timeWaitTimer.Reset(ep.getTimeWaitDuration())\n",
		New:  "\t\tep.startWaiting()\n",
	},
	// A call of Stats copies all counters.
	{File: tcpPackage + "dispatcher.go", Old: "ep.stack.Stats().TCP.", New: "ep.stack.Counters().TCP.", All: true},
	{File: tcpPackage + "connect.go", Old: "r.Stats().TCP.", New: "r.Counters().TCP.", All: true},
	{File: tcpPackage + "snd.go", Old: "s.ep.stack.Stats().TCP.", New: "s.ep.stack.Counters().TCP.", All: true},
	// What lies in one piece is read without a view of its own.
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/stack/packet_buffer.go",
		Old:  "func (d PacketData) ReadTo(dst io.Writer, peek bool) (int, error) {\n",
		New: "func (d PacketData) ReadTo(dst io.Writer, peek bool) (int, error) {\n" +
			"\tif p := d.pk.buf.Front(d.pk.dataOffset(), d.Size()); len(p) > 0 {\n\t\tn, err := dst.Write(p)\n" +
			"\t\tif !peek {\n\t\t\td.pk.buf.TrimFront(int64(n))\n\t\t}\n\t\treturn n, err\n\t}\n",
	},
	// Two numbers need no slices to be summed.
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/header/checksum.go",
		Old: "\tvar tmp [2]byte\n\tbinary.BigEndian.PutUint16(tmp[:], totalLen)\n\txsum = checksum.Checksum(tmp[:], xsum)\n\n" +
			"\treturn checksum.Checksum([]byte{0, uint8(protocol)}, xsum)\n",
		New: "\treturn checksum.Combine(checksum.Combine(xsum, totalLen), uint16(protocol))\n",
	},
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/header/checksum.go",
		Old:  "\t\"encoding/binary\"\n",
		New:  "",
	},
	// One processor needs no hash to be chosen.
	{
		File: tcpPackage + "dispatcher.go",
		Old:  "\treturn &d.processors[d.hasher.hash(id)",
		New:  "\tif len(d.processors) == 1 {\n\t\treturn &d.processors[0]\n\t}\n\treturn &d.processors[d.hasher.hash(id)",
	},
	// The identifiers of fragmented packets begin at random, which takes a fifteenth of the boot with
	// 2048 counters.
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/network/ipv4/ipv4.go",
		Old:  "\tbuckets = 2048\n",
		New:  "\tbuckets = 256\n",
	},
	{
		File: "gvisor.dev/gvisor/pkg/tcpip/network/ipv6/ipv6.go",
		Old:  "\tbuckets = 2048\n",
		New:  "\tbuckets = 256\n",
	},
	// References are not traced.
	{
		File: "gvisor.dev/gvisor/pkg/refs/refs_map.go",
		Old:  "\tmode := GetLeakMode()\n\treturn mode != NoLeakChecking\n",
		New:  "\treturn false\n",
	},
	{
		// A few secrets of some bytes are all that is read, and twice 4 KiB were
		// generated for them.
		File: "gvisor.dev/gvisor/pkg/rand/rand_linux.go",
		Old:  "bufio.NewReader(&reader{})",
		New:  "bufio.NewReaderSize(&reader{}, 128)",
	},
	{
		// Anyone may send ICMP errors to a socket that asks for them and does not
		// read them. Linux bounds them by SO_RCVBUF.
		File: "gvisor.dev/gvisor/pkg/tcpip/socketops.go",
		Old:  "\tso.errQueue.PushBack(err)\n",
		New:  "\tif so.errQueue.Len() < 64 {\n\t\tso.errQueue.PushBack(err)\n\t}\n",
	},
	{
		// The compiler knows no such directive, and says so of the standard
		// library's packages only.
		File: "gvisor.dev/gvisor/pkg/sync/locking/lockdep_norace.go",
		Old:  "//go:inline\n",
		New:  "",
		All:  true,
	},
}

// valueFiles are the files of package net with the value types (IP, IPNet,
// HardwareAddr, ...). They make up the package goshawk/net/value, together
// with those of ours, which stands for net in what net itself imports.
var valueFiles = []string{"net/ip.go", "net/mac.go", "net/parse.go"}

// editModuleFile does the edits of a file of m.
func editModuleFile(m *requiredModule, file string, text []byte) ([]byte, error) {
	for _, e := range moduleEdits {
		if e.File == file {
			var err error
			if text, err = e.apply(text, m.Path+" "+m.Version, "the edit does not fit this version of the module"); err != nil {
				return nil, err
			}
		}
	}
	return text, nil
}

// omit reports whether a file of another module is left out.
func omit(file string) bool {
	return slices.ContainsFunc(omitted, func(pattern string) bool {
		before, after, _ := strings.Cut(pattern, "...")
		return strings.HasPrefix(file, before) && strings.HasSuffix(file, after)
	})
}
