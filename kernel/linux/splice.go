package linux

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Flags of splice and tee (splice(2)). That pages are moved and that more data follow has no meaning.
const (
	spliceNonblock = 2
	spliceFlags    = 1 | spliceNonblock | 4 | 8
)

// twoPipes is held while the locks of two pipes are.
var twoPipes sync.Mutex

// transfer is one side of a splice that does not wait. offset is nil for the file's own position.
type transfer struct {
	file   *vfs.File
	offset *int64
}

func (t transfer) pipe() *pipeEnd {
	end, _ := t.file.Handle().(*pipeEnd)
	return end
}

// atMost returns how much of n bytes a read from a socket can get, so that a pipe need not have room
// for more.
func (t transfer) atMost(n int) int {
	if _, ok := t.file.Handle().(*socketFile); !ok {
		return n
	}
	available, err := pending(t.file)
	if err != 0 || available <= 0 {
		return min(n, atomicWrite)
	}
	return min(n, int(available))
}

func (t transfer) read(p []byte) (int, syscall.Errno) {
	if o := objectOf(t.file); o != nil {
		return o.tryRead(p)
	}
	if t.offset == nil {
		n, err := t.file.Read(p)
		return n, errno(err)
	}
	n, err := t.file.Pread(p, *t.offset)
	*t.offset += int64(n)
	return n, errno(err)
}

func (t transfer) write(p []byte) (int, syscall.Errno) {
	if o := objectOf(t.file); o != nil {
		return o.tryWrite(p)
	}
	if t.offset == nil {
		n, err := t.file.Write(p)
		return n, errno(err)
	}
	n, err := t.file.Pwrite(p, *t.offset)
	*t.offset += int64(n)
	return n, errno(err)
}

// drain gives up to n bytes of the pipe to write, and takes as many out of the pipe as that accepts
// unless keep is set. The pipe is locked meanwhile. empty says that there was nothing.
func (e *pipeEnd) drain(n int, keep bool, write func([]byte) (int, syscall.Errno)) (done int, empty bool, err syscall.Errno) {
	e.mu.Lock()
	if e.length == 0 {
		closed := e.writers == 0
		e.mu.Unlock()
		if closed {
			return 0, false, 0
		}
		return 0, true, syscall.EAGAIN
	}
	end := min(e.start+min(n, e.length), len(e.ring))
	done, err = write(e.ring[e.start:end])
	room := false
	if !keep {
		was := e.capacity - e.length
		e.discard(done)
		room = was < atomicWrite && e.capacity-e.length >= atomicWrite
	}
	e.mu.Unlock()
	if room {
		e.watchers.fire(writable | writeNorm)
	}
	return done, false, err
}

// fill puts what read returns, up to n bytes, into the pipe, which is locked meanwhile. full says that
// there was no room.
func (e *pipeEnd) fill(n int, read func([]byte) (int, syscall.Errno)) (done int, full bool, err syscall.Errno) {
	e.mu.Lock()
	if e.readers == 0 {
		e.mu.Unlock()
		killThread(int(syscall.SIGPIPE))
		return 0, false, syscall.EPIPE
	}
	room := e.capacity - e.length
	if room <= 0 {
		e.mu.Unlock()
		return 0, true, syscall.EAGAIN
	}
	done, err = read(e.space(min(n, room)))
	e.length += done
	e.mu.Unlock()
	if done > 0 {
		e.watchers.fire(readable | readNorm)
	}
	return done, false, err
}

// move moves up to n bytes without waiting, or copies them if keep is set. At EAGAIN it returns what
// to wait for.
func move(from, to transfer, n int, keep bool) (done int, err syscall.Errno, waitFor *vfs.File, events uint32) {
	in, out := from.pipe(), to.pipe()
	if in != nil {
		if out != nil {
			twoPipes.Lock()
			defer twoPipes.Unlock()
		}
		done, empty, err := in.drain(n, keep, to.write)
		if empty {
			return done, err, from.file, readable
		}
		return done, err, to.file, writable
	}
	done, full, err := out.fill(from.atMost(n), from.read)
	if full {
		return done, err, to.file, writable
	}
	return done, err, from.file, readable
}

// splice moves bytes until something has been moved. It waits unless nonblock is set or the file to
// wait for has O_NONBLOCK.
func splice(from, to transfer, count uintptr, keep, nonblock bool) (uintptr, syscall.Errno) {
	n := int(min(count, maxTransfer))
	if n == 0 {
		return 0, 0
	}
	for {
		done, err, waitFor, events := move(from, to, n, keep)
		if done > 0 {
			return uintptr(done), 0
		}
		o := objectOf(waitFor)
		if err != syscall.EAGAIN || o == nil || nonblock || waitFor.Flags()&syscall.O_NONBLOCK != 0 {
			return 0, err
		}
		if s, ok := o.(*socketFile); ok && events == readable && s.ended() {
			return 0, 0 // it is readable, and says EAGAIN for ever
		}
		await(o, events)
	}
}

// accessMode returns whether f can be read and written.
func accessMode(f *vfs.File) (reads, writes bool) {
	switch f.Flags() & (syscall.O_ACCMODE | abi.O_PATH) {
	case syscall.O_RDONLY:
		return true, false
	case syscall.O_WRONLY:
		return false, true
	case syscall.O_RDWR:
		return true, true
	}
	return false, false
}

// transfers returns the two sides of a call between descriptors in and out. The caller closes the
// files.
func transfers(in, out int) (from, to transfer, err syscall.Errno) {
	if from.file, err = process.files.get(in); err != 0 {
		return from, to, err
	}
	if to.file, err = process.files.get(out); err != 0 {
		from.file.Close()
		return from, to, err
	}
	reads, _ := accessMode(from.file)
	_, writes := accessMode(to.file)
	if !reads || !writes {
		from.file.Close()
		to.file.Close()
		err = syscall.EBADF
	}
	return from, to, err
}

func sysSplice(a args) (uintptr, syscall.Errno) {
	flags := a.uint32(5)
	if a.n[4] == 0 {
		return 0, 0
	}
	if flags&^spliceFlags != 0 {
		return 0, syscall.EINVAL
	}
	from, to, err := transfers(a.int(0), a.int(2))
	if err != 0 {
		return 0, err
	}
	defer from.file.Close()
	defer to.file.Close()
	in, out := from.pipe(), to.pipe()
	from.offset, to.offset = (*int64)(a.p[1]), (*int64)(a.p[3])
	switch {
	case in != nil && from.offset != nil, out != nil && to.offset != nil:
		return 0, syscall.ESPIPE
	case in == nil && out == nil, in != nil && out != nil && in.pipe == out.pipe:
		return 0, syscall.EINVAL
	case from.offset != nil && from.file.Handle() != nil, to.offset != nil && to.file.Handle() != nil:
		return 0, syscall.EINVAL
	case out == nil && to.file.Flags()&syscall.O_APPEND != 0, from.file.Inode().Type() == syscall.S_IFDIR:
		return 0, syscall.EINVAL
	}
	return splice(from, to, a.n[4], false, flags&spliceNonblock != 0)
}

func sysTee(a args) (uintptr, syscall.Errno) {
	flags := a.uint32(3)
	if flags&^spliceFlags != 0 {
		return 0, syscall.EINVAL
	}
	if a.n[2] == 0 {
		return 0, 0
	}
	from, to, err := transfers(a.int(0), a.int(1))
	if err != 0 {
		return 0, err
	}
	defer from.file.Close()
	defer to.file.Close()
	in, out := from.pipe(), to.pipe()
	if in == nil || out == nil || in.pipe == out.pipe {
		return 0, syscall.EINVAL
	}
	return splice(from, to, a.n[2], true, flags&spliceNonblock != 0)
}

// sysVmsplice is vmsplice: it copies, since a pipe has no pages.
func sysVmsplice(a args) (uintptr, syscall.Errno) {
	flags := a.uint32(3)
	if flags&^spliceFlags != 0 {
		return 0, syscall.EINVAL
	}
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	list, err := a.vectors()
	if err != 0 {
		return 0, err
	}
	end, ok := f.Handle().(*pipeEnd)
	if !ok {
		return 0, syscall.EBADF
	}
	status := f.Flags()
	if flags&spliceNonblock != 0 {
		status |= syscall.O_NONBLOCK
	}
	total := 0
	for i := range list {
		p, err := memory(unsafe.Pointer(list[i].base), uintptr(list[i].size))
		n := 0
		if err == 0 {
			n, err = end.transfer(p, status)
		}
		total += n
		if err != 0 && total == 0 {
			return 0, err
		}
		if err != 0 || n < len(p) {
			break
		}
		if n > 0 {
			status |= syscall.O_NONBLOCK // something has been moved
		}
	}
	return uintptr(total), 0
}

// transfer writes p to the pipe if this is its writing end, and else reads from it.
func (e *pipeEnd) transfer(p []byte, status int) (int, syscall.Errno) {
	for {
		var n int
		var err syscall.Errno
		events := uint32(readable)
		if e.writes {
			n, err = e.tryWrite(p)
			events = writable
		} else {
			n, err = e.tryRead(p)
		}
		if err != syscall.EAGAIN || status&syscall.O_NONBLOCK != 0 {
			return n, err
		}
		await(e, events)
	}
}
