package blk

import (
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/fs/block"
)

// maxLooked is how many requests that wait are looked at for a neighbour.
const maxLooked = 32

// transfer makes a command of w, a read or write, and of others that follow it
// on the disk. ok is false if it has to wait for room; then there are commands
// under way. After an error the command has to be finished. q.mu is held.
func (q *queue) transfer(head uint16, w *work) (ok bool, err error) {
	c := &q.commands[head]
	start, kind := w.off, uint32(VIRTIO_BLK_T_OUT)
	if w.op == block.Read {
		kind = VIRTIO_BLK_T_IN
	}
	q.header(head, kind, start)
	c.reads = w.op == block.Read
	budget := min(q.segMax, q.vq.Room()-2)
	total := 0
	for last := w; last != nil && total < maxCommand; last = q.neighbour(w.op, start+int64(total)) {
		n, err := q.describe(last, budget, maxCommand-total)
		// The device takes whole blocks. One block is in one part.
		if extra := n & (q.device.info.LogicalBlock - 1); extra != 0 {
			q.cut(extra)
			last.at -= extra
			last.off -= int64(extra)
			last.left += int64(extra)
			n -= extra
		}
		if n == 0 && err == nil {
			break
		}
		total += n
		last.commands++
		c.works = append(c.works, last)
		if err != nil {
			return false, err
		}
		if last.left > 0 {
			break
		}
		q.waiting.remove(last)
	}
	if total == 0 {
		if budget < q.segMax || q.bouncing {
			return false, nil
		}
		total = q.bounceBlock(c, w)
	}
	if c.reads {
		c.written += uint32(total)
	}
	return true, nil
}

// neighbour returns work of a kind that waits and begins at off, or nil.
func (q *queue) neighbour(op block.Op, off int64) *work {
	w := q.waiting.first
	for n := 0; w != nil && n < maxLooked; n++ {
		if w.op == op && w.off == off {
			return w
		}
		w = w.next
	}
	return nil
}

// describe adds segments for the next bytes of w, up to limit of them and as
// many as budget segments hold, and takes them off w.
func (q *queue) describe(w *work, budget, limit int) (total int, err error) {
	for w.left > 0 && total < limit {
		p := w.request.Parts[w.part][w.at:]
		if len(p) == 0 {
			w.part++
			w.at = 0
			continue
		}
		// No more than what surely is of use, but for the last page.
		room := max(1, budget+1-len(q.segments))
		p = p[:min(len(p), limit-total, room*platform.PageSize)]
		if q.pieces, err = q.device.dev.Memory().Translate(q.pieces[:0], p); err != nil {
			return total, err
		}
		n := 0
		for _, s := range q.pieces {
			k := q.put(s, budget)
			n += k
			if k < int(s.Len) {
				break
			}
		}
		w.at += n
		w.off += int64(n)
		w.left -= int64(n)
		total += n
		if n < len(p) {
			break
		}
	}
	return total, nil
}

// put adds memory to the data of the command, of which budget segments may be,
// and returns how many bytes it has added.
func (q *queue) put(s platform.Segment, budget int) (n int) {
	most := uint32(q.device.sizeMax)
	for s.Len > 0 {
		i := len(q.segments) - 1
		if last := &q.segments[i]; i > 0 && last.Addr+uint64(last.Len) == s.Addr && last.Len < most {
			k := min(s.Len, most-last.Len)
			last.Len += k
			s.Addr, s.Len, n = s.Addr+uint64(k), s.Len-k, n+int(k)
			continue
		}
		if i >= budget {
			break
		}
		k := min(s.Len, most)
		q.segments = append(q.segments, platform.Segment{Addr: s.Addr, Len: k})
		s.Addr, s.Len, n = s.Addr+uint64(k), s.Len-k, n+int(k)
	}
	return n
}

// cut takes the last n bytes off the command's data.
func (q *queue) cut(n int) {
	for n > 0 {
		last := &q.segments[len(q.segments)-1]
		k := min(n, int(last.Len))
		n -= k
		if last.Len -= uint32(k); last.Len == 0 {
			q.segments = q.segments[:len(q.segments)-1]
		}
	}
}

// bounceBlock makes a command of one block of w, by way of memory in one piece.
func (q *queue) bounceBlock(c *command, w *work) int {
	for w.at == len(w.request.Parts[w.part]) {
		w.part++
		w.at = 0
	}
	n := q.device.info.LogicalBlock
	c.bounced, q.bouncing = w.request.Parts[w.part][w.at:w.at+n], true
	if w.op == block.Write {
		copy(q.bounce, c.bounced)
	}
	q.put(platform.Segment{Addr: q.bounceAddr, Len: uint32(n)}, q.segMax)
	w.at += n
	w.off += int64(n)
	w.commands++
	c.works = append(c.works, w)
	if w.left -= int64(n); w.left == 0 {
		q.waiting.remove(w)
	}
	return n
}
