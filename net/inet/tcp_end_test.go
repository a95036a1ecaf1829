package inet

import (
	"syscall"
	"testing"

	"github.com/goshawk-os/goshawk/net/socket"
)

func TestTCPEnds(t *testing.T) { compare(t, tcpEndScenarios) }

var tcpEndScenarios = []scenario{
	{"a listening socket that is shut down listens again", func(s *script) {
		s.socket("a", ip4, streams, 0)
		s.bind("a", "127.0.0.1:0")
		s.listen("a", 1)
		s.shutdown("a", wr)
		s.poll("a")
		s.shutdown("a", rd)
		s.poll("a")
		s.accept("a", "x")
		s.names("a")
		s.listen("a", 1)
		s.socket("c", ip4, streams, 0)
		s.connect("c", "127.0.0.1@a")
		s.wait("c", out)
		s.wait("a", in)
		s.accept("a", "p")
	}},
	{"half-close: the peer reads the end and still writes", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "last words")
		s.shutdown("client", wr)
		s.write("client", "x")
		s.poll("client")
		s.wait("peer", socket.RdHup)
		s.read("peer", 100)
		s.read("peer", 100)
		s.poll("peer")
		s.write("peer", "answer")
		s.wait("client", in)
		s.read("client", 100)
		s.shutdown("client", wr)
		s.close("peer")
		s.wait("client", hup)
		s.read("client", 1)
		s.shutdown("client", wr)
		s.names("client")
	}},
	{"both sides shut down writing", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.shutdown("client", wr)
		s.wait("peer", socket.RdHup)
		s.shutdown("peer", wr)
		s.wait("peer", hup)
		s.wait("client", hup)
		s.read("peer", 1)
		s.read("client", 1)
		s.soError("client")
	}},
	{"reading is shut down", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.shutdown("client", rd)
		s.poll("client")
		s.read("client", 5)
		s.shutdown("client", wr)
		s.poll("client")
	}},
	{"shutdown of directions that there are not", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.shutdown("client", 3)
		s.shutdown("client", -1)
	}},
	{"a reset by SO_LINGER: data that arrived are read before the error", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "x")
		s.wait("peer", in)
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close("client")
		s.wait("peer", hup)
		s.poll("peer")
		s.soError("peer")
		s.poll("peer")
		s.soError("peer")
		s.read("peer", 1)
		s.read("peer", 1)
		s.write("peer", "x")
	}},
	{"a reset is reported once: by read", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close("client")
		s.wait("peer", hup)
		s.read("peer", 1)
		s.read("peer", 1)
		s.soError("peer")
		s.names("peer")
	}},
	{"a reset is reported once: by write", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close("client")
		s.wait("peer", hup)
		s.write("peer", "x")
		s.write("peer", "x")
		s.read("peer", 1)
		s.shutdown("peer", rw)
		s.connect("peer", "127.0.0.1@server")
	}},
	{"closing with unread data resets", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "unread")
		s.wait("peer", in)
		s.close("peer")
		s.wait("client", hup)
		s.read("client", 1)
	}},
	{"writing to a peer that has closed", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.close("peer")
		s.wait("client", socket.RdHup)
		s.write("client", "x")
		s.wait("client", hup)
		s.read("client", 1)
		s.write("client", "x")
		s.soError("client")
	}},
	{"closing a listening socket resets those that wait", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", out)
		s.wait("server", in)
		s.close("server")
		s.wait("client", hup)
		s.read("client", 1)
	}},
	{"what was sent before the peer closed a waiting connection", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", out)
		s.write("client", "early")
		s.close("client")
		s.settle()
		s.wait("server", in)
		s.accept("server", "peer")
		s.wait("peer", socket.RdHup)
		s.read("peer", 10)
		s.read("peer", 10)
	}},
	{"connect to the unspecified family dissolves a connection", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.say("disconnect: %s", errorName(s.fds["client"].connect(make([]byte, 16))))
		s.poll("client")
		s.soError("client")
		s.poll("client")
		s.wait("peer", hup)
		s.read("peer", 1)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", out)
		s.wait("server", in)
	}},
	{"shutdown while connecting", func(s *script) {
		s.socket("full", ip4, streams, 0)
		s.bind("full", "127.0.0.1:0")
		s.listen("full", 0)
		s.socket("first", ip4, streams, 0)
		s.connect("first", "127.0.0.1@full")
		s.wait("first", out)
		s.socket("a", ip4, streams, 0)
		s.connect("a", "127.0.0.1@full")
		s.poll("a")
		s.read("a", 1)
		s.write("a", "x")
		s.shutdown("a", rw)
		s.poll("a")
		s.soError("a")
		s.poll("a")
	}},
}
