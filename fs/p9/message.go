package p9

import (
	"strconv"
	"syscall"
)

// lastErrno is the largest of Linux's error numbers, EHWPOISON.
const lastErrno = 133

// replySize is enough for any reply but that of readlink and those with data.
const replySize = 192

// A call is a request and its reply.
type call struct {
	c    *client
	tag  uint16
	out  []byte // the request
	in   []byte // the reply, or what precedes its data
	room int    // most bytes of a reply without data
	reply
}

// request begins a request.
func (c *client) request(typ uint8) *call {
	k, _ := c.calls.Get().(*call)
	if k == nil {
		k = &call{c: c, out: make([]byte, 0, 320), in: make([]byte, replySize)}
	}
	k.tag, k.room = <-c.tags, replySize
	tag := k.tag
	if typ == Tversion {
		tag = NOTAG
	}
	k.out = append(k.out[:0], 0, 0, 0, 0, typ)
	k.u16(tag)
	return k
}

// end gives the call's memory back.
func (k *call) end() {
	k.c.tags <- k.tag
	k.c.calls.Put(k)
}

func (k *call) u16(v uint16) *call {
	k.out = append(k.out, byte(v), byte(v>>8))
	return k
}

func (k *call) u32(v uint32) *call {
	k.out = append(k.out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	return k
}

func (k *call) u64(v uint64) *call { return k.u32(uint32(v)).u32(uint32(v >> 32)) }

func (k *call) text(s string) *call {
	k.u16(uint16(len(s)))
	k.out = append(k.out, s...)
	return k
}

// send sends the request with data behind it, which count as a part of it, and
// waits for the reply. Data of the reply, behind a count of their bytes, go to
// into unless that is nil; n is how many they are.
func (k *call) send(data, into []byte) (n int, err error) {
	c := k.c
	if c.broken.Load() {
		return 0, syscall.EIO
	}
	put32(k.out, uint32(len(k.out)+len(data)))
	if k.room > len(k.in) {
		k.in = make([]byte, k.room)
	}
	in := k.in[:k.room]
	if into != nil {
		in = in[:countHeader]
	}
	total, err := c.transport.RoundTrip([2][]byte{k.out, data}, [2][]byte{in, into})
	if err != nil {
		c.fail(err.Error())
		return 0, syscall.EIO
	}
	if total < headerSize || total > len(in)+len(into) {
		return 0, k.wrong()
	}
	k.reply = reply{p: in[:min(total, len(in))]}
	size, typ, tag := k.get32(), k.get8(), k.get16()
	if int64(size) != int64(total) || tag != uint16(k.out[5])|uint16(k.out[6])<<8 {
		return 0, k.wrong()
	}
	if typ == Rlerror {
		errno := k.get32()
		if !k.complete() || total != countHeader {
			return 0, k.wrong()
		}
		return 0, errorOf(errno)
	}
	if typ != k.out[4]+1 {
		return 0, k.wrong()
	}
	if into == nil {
		return 0, nil
	}
	n = total - countHeader
	if count := k.get32(); n < 0 || int64(count) != int64(n) {
		return 0, k.wrong()
	}
	return n, nil
}

// finish is send for a request without data whose reply has nothing in it.
func (k *call) finish() error {
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return err
	}
	return k.check()
}

// check returns an error if the reply had too few bytes, or too many.
func (k *call) check() error {
	if !k.complete() {
		return k.wrong()
	}
	return nil
}

// wrong takes the server out of service because of this reply.
func (k *call) wrong() error {
	k.c.fail("the reply to a message of type " + strconv.Itoa(int(k.out[4])) + " breaks the protocol")
	return syscall.EIO
}

// errorOf returns the error of an Rlerror. After ESTALE package vfs would look
// the file up again, and after EINTR package os ask again, for ever if need be.
func errorOf(errno uint32) error {
	switch e := syscall.Errno(errno); {
	case errno == 0, errno > lastErrno, e == syscall.ESTALE, e == syscall.EINTR:
		return syscall.EIO
	default:
		return e
	}
}

// A reply is bytes of the server that are still to be read. Reading beyond the
// end gives zeroes.
type reply struct {
	p     []byte
	short bool
}

// complete reports whether all bytes were read and none was missing.
func (r *reply) complete() bool { return !r.short && len(r.p) == 0 }

// take returns the next n bytes, or nil.
func (r *reply) take(n int) []byte {
	if n > len(r.p) {
		r.p, r.short = nil, true
		return nil
	}
	p := r.p[:n]
	r.p = r.p[n:]
	return p
}

func (r *reply) get8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reply) get16() uint16 {
	if p := r.take(2); p != nil {
		return uint16(p[0]) | uint16(p[1])<<8
	}
	return 0
}

func (r *reply) get32() uint32 {
	if p := r.take(4); p != nil {
		return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24
	}
	return 0
}

func (r *reply) get64() uint64 {
	low := r.get32()
	return uint64(low) | uint64(r.get32())<<32
}

func (r *reply) getText() string { return string(r.take(int(r.get16()))) }

// A qid is what the server calls a file: the same path is the same file.
type qid struct {
	typ  uint8
	path uint64
}

func (r *reply) getQid() qid {
	typ := r.get8()
	r.get32() // version
	return qid{typ, r.get64()}
}

func put32(p []byte, v uint32) {
	_ = p[3]
	p[0], p[1], p[2], p[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}
