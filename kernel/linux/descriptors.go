package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

func sysClose(a args) (uintptr, syscall.Errno) { return 0, closeFD(a.int(0)) }

// Flags of close_range (close_range(2)).
const (
	closeRangeUnshare = 2
	closeRangeCloexec = 4
)

func sysCloseRange(a args) (uintptr, syscall.Errno) {
	first, last, flags := a.uint32(0), a.uint32(1), a.int(2)
	if flags&^(closeRangeUnshare|closeRangeCloexec) != 0 || first > last {
		return 0, syscall.EINVAL
	}
	if flags&closeRangeCloexec != 0 {
		process.files.setCloseOnExec(int(first), int(last), true)
		return 0, 0
	}
	for fd := process.files.next(int(first)); fd >= 0 && fd <= int(last); fd = process.files.next(fd + 1) {
		closeFD(fd) // EBADF: closed meanwhile
	}
	return 0, 0
}

// duplicate opens the lowest descriptor from first on for what fd leads to.
func duplicate(fd, first int, closeOnExec bool) (uintptr, syscall.Errno) {
	f, err := process.files.get(fd)
	if err != 0 {
		return 0, err
	}
	n, err := process.files.add(f, first, process.maxFD(), closeOnExec)
	return uintptr(n), err
}

func sysDup(a args) (uintptr, syscall.Errno) { return duplicate(a.int(0), 0, false) }

func sysDup2(a args) (uintptr, syscall.Errno) {
	if a.int(0) == a.int(1) {
		f, err := process.files.get(a.int(0))
		if err != 0 {
			return 0, err
		}
		f.Close()
		return uintptr(a.int(1)), 0
	}
	return duplicateTo(a.int(0), a.int(1), false)
}

func sysDup3(a args) (uintptr, syscall.Errno) {
	if a.int(2)&^syscall.O_CLOEXEC != 0 || a.int(0) == a.int(1) {
		return 0, syscall.EINVAL
	}
	return duplicateTo(a.int(0), a.int(1), a.int(2)&syscall.O_CLOEXEC != 0)
}

// duplicateTo makes descriptor to lead to what fd leads to.
func duplicateTo(fd, to int, closeOnExec bool) (uintptr, syscall.Errno) {
	if to < 0 || to >= process.maxFD() {
		return 0, syscall.EBADF
	}
	f, err := process.files.get(fd)
	if err != 0 {
		return 0, err
	}
	return uintptr(to), process.files.replace(to, f, closeOnExec)
}

// Commands of fcntl that package syscall lacks (fcntl(2)).
const (
	fSetPipeSize = 1031
	fGetPipeSize = 1032
)

func sysFcntl(a args) (uintptr, syscall.Errno) {
	fd, command, arg := a.int(0), a.int(1), a.word(2)
	f, err := process.files.get(fd)
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	if f.Flags()&abi.O_PATH != 0 {
		switch command {
		case syscall.F_DUPFD, syscall.F_DUPFD_CLOEXEC, syscall.F_GETFD, syscall.F_SETFD, syscall.F_GETFL:
		default:
			return 0, syscall.EBADF
		}
	}
	switch command {
	case syscall.F_DUPFD, syscall.F_DUPFD_CLOEXEC:
		if int(arg) < 0 || int(arg) >= process.maxFD() {
			return 0, syscall.EINVAL
		}
		return duplicate(fd, int(arg), command == syscall.F_DUPFD_CLOEXEC)
	case syscall.F_GETFD:
		on, err := process.files.closeOnExec(fd)
		if on {
			return syscall.FD_CLOEXEC, err
		}
		return 0, err
	case syscall.F_SETFD:
		process.files.setCloseOnExec(fd, fd, arg&syscall.FD_CLOEXEC != 0)
		return 0, 0
	case syscall.F_GETFL:
		return uintptr(f.Flags()), 0
	case syscall.F_SETFL:
		f.SetFlags(int(arg))
		return 0, 0
	case syscall.F_GETLK, syscall.F_SETLK, syscall.F_SETLKW, abi.F_OFD_GETLK, abi.F_OFD_SETLK, abi.F_OFD_SETLKW:
		return 0, lock(f, command, (*syscall.Flock_t)(a.p[2]))
	case fSetPipeSize, fGetPipeSize:
		end, ok := f.Handle().(*pipeEnd)
		if !ok {
			return 0, syscall.EBADF
		}
		if command == fGetPipeSize {
			end.mu.Lock()
			defer end.mu.Unlock()
			return uintptr(end.capacity), 0
		}
		n, err := end.resize(int(int32(arg)))
		return uintptr(n), err
	}
	return 0, syscall.EINVAL
}

// lock carries out a lock command of fcntl.
func lock(f *vfs.File, command int, l *syscall.Flock_t) syscall.Errno {
	if l == nil {
		return syscall.EFAULT
	}
	try := command
	switch command {
	case syscall.F_SETLKW:
		try = syscall.F_SETLK
	case abi.F_OFD_SETLKW:
		try = abi.F_OFD_SETLK
	}
	err := f.Lock(try, l, pid)
	if err == syscall.EAGAIN && try != command {
		blockEnter()
		err = f.Lock(command, l, pid)
		blockExit()
	}
	return errno(err)
}

func sysFlock(a args) (uintptr, syscall.Errno) {
	operation := a.int(1)
	return onFile(a.int(0), func(f *vfs.File) error {
		err := f.Flock(operation | syscall.LOCK_NB)
		if err == syscall.EAGAIN && operation&syscall.LOCK_NB == 0 {
			blockEnter()
			err = f.Flock(operation)
			blockExit()
		}
		return err
	})
}

// Requests of ioctl that package syscall lacks (ioctl_tty(2), ioctl(2)).
const (
	fioNBIO  = 0x5421
	fioNRead = 0x541b
	fioNClex = 0x5450
	fioClex  = 0x5451
)

func sysIoctl(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	if f.Flags()&abi.O_PATH != 0 {
		return 0, syscall.EBADF
	}
	switch request := uintptr(a.uint32(1)); request {
	case fioClex, fioNClex:
		process.files.setCloseOnExec(a.int(0), a.int(0), request == fioClex)
		return 0, 0
	case fioNBIO:
		if a.p[2] == nil {
			return 0, syscall.EFAULT
		}
		flags := f.Flags() &^ syscall.O_NONBLOCK
		if *(*int32)(a.p[2]) != 0 {
			flags |= syscall.O_NONBLOCK
		}
		f.SetFlags(flags)
		return 0, 0
	case fioNRead:
		n, err := pending(f)
		if err != 0 {
			return 0, err
		}
		if a.p[2] == nil {
			return 0, syscall.EFAULT
		}
		*(*int32)(a.p[2]) = int32(min(n, 1<<31-1))
		return 0, 0
	default:
		return 0, errno(f.Ioctl(uint(request), a.p[2]))
	}
}

// pending returns how many bytes of f can be read (FIONREAD).
func pending(f *vfs.File) (int64, syscall.Errno) {
	switch o := f.Handle().(type) {
	case nil:
		at, err := f.Seek(0, abi.SEEK_CUR)
		if err != nil {
			return 0, errno(err)
		}
		st, err := f.Stat()
		if err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
			return 0, syscall.ENOTTY
		}
		return st.Size - at, 0
	case *pipeEnd:
		o.mu.Lock()
		defer o.mu.Unlock()
		return int64(o.length), 0
	case *terminalFile:
		return int64(o.pending()), 0
	case *inotify:
		return int64(o.pending()), 0
	case *socketFile:
		var n int32
		err := o.socket.Ioctl(fioNRead, unsafe.Pointer(hidden(&n)))
		return int64(n), err
	}
	return 0, syscall.ENOTTY
}

func sysLseek(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	at, e := f.Seek(int64(a.n[1]), a.int(2))
	return uintptr(at), errno(e)
}
