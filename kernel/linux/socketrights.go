package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
	"github.com/goshawk-os/goshawk/net/unix"
)

// maxRights is how many descriptors travel with a message (SCM_MAX_FD, unix(7)).
const maxRights = 253

// takeFiles takes the SCM_RIGHTS messages out of control and returns the rest, and the files of their
// descriptors with references.
func takeFiles(control []byte) (rest []byte, files []socket.File, err syscall.Errno) {
	copied := false
	for next := control; ; {
		message := next
		level, kind, data, behind, ok, err := socket.NextControl(next)
		if err != 0 {
			closeFiles(files)
			return nil, nil, err
		}
		if !ok {
			return rest, files, 0
		}
		message = message[:len(message)-len(behind)]
		next = behind
		if level != syscall.SOL_SOCKET || kind != syscall.SCM_RIGHTS {
			if !copied {
				rest, copied = make([]byte, 0, len(control)), true
			}
			rest = append(rest, message...)
			continue
		}
		for i := 0; i+4 <= len(data); i += 4 {
			f, err := process.files.get(int(*(*int32)(unsafe.Pointer(&data[i]))))
			if err == 0 && len(files) == maxRights {
				f.Close()
				err = syscall.EINVAL
			}
			if err != 0 {
				closeFiles(files)
				return nil, nil, err
			}
			files = append(files, f)
		}
	}
}

// maxFiles returns how many descriptors fit control messages of size bytes.
func maxFiles(size int) int { return max(0, (size-syscall.SizeofCmsghdr)/4) }

// storeFiles opens descriptors for the files that came with m, and appends them to its control
// messages. Files for which there is no room are closed: MSG_CTRUNC. It takes a large stack.
func storeFiles(m *socket.Message, closeOnExec bool) {
	room := maxFiles(cap(m.Control) - len(m.Control))
	var fds [maxRights]int32
	n := 0
	for n < len(m.Files) && n < min(room, maxRights) {
		f, ok := m.Files[n].(*vfs.File)
		if !ok {
			break
		}
		f.IncRef()
		fd, err := process.files.add(f, 0, process.maxFD(), closeOnExec)
		if err != 0 {
			break
		}
		fds[n] = int32(fd)
		n++
	}
	if n < len(m.Files) {
		m.Flags |= syscall.MSG_CTRUNC
	}
	closeFiles(m.Files)
	m.Files = nil
	if n > 0 {
		m.AppendControl(syscall.SOL_SOCKET, syscall.SCM_RIGHTS, unsafe.Slice((*byte)(unsafe.Pointer(&fds[0])), 4*n))
	}
}

// closeFiles gives up references.
func closeFiles(files []socket.File) {
	for _, f := range files {
		f.Close()
	}
}

// startUnix registers AF_UNIX for the program, whose files are in space.
func startUnix(space *vfs.Namespace) {
	unix.Start(unix.Process{Space: space, Credentials: unixCredentials, MayClaim: mayClaim})
}

func unixCredentials() (real, effective unix.Credentials) {
	process.mu.Lock()
	defer process.mu.Unlock()
	c := &process.credentials
	return unix.Credentials{PID: pid, UID: c.user.real, GID: c.group.real},
		unix.Credentials{PID: pid, UID: c.user.effective, GID: c.group.effective}
}

// mayClaim returns 0 if the process may send claimed with SCM_CREDENTIALS (unix(7)), EINVAL if these
// are no IDs.
func mayClaim(claimed unix.Credentials) syscall.Errno {
	process.mu.Lock()
	defer process.mu.Unlock()
	c := &process.credentials
	switch {
	case claimed.UID == unchanged || claimed.GID == unchanged:
		return syscall.EINVAL
	case claimed.PID != pid && !c.capable(capSysAdmin),
		!c.user.has(claimed.UID) && !c.capable(capSetuid), !c.group.has(claimed.GID) && !c.capable(capSetgid):
		return syscall.EPERM
	case claimed.PID != pid:
		return syscall.ESRCH
	}
	return 0
}
