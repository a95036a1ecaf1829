package linux

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// pid is the process id of the program: the only process there is.
const pid = 1

// processState is what Linux keeps for a process.
type processState struct {
	files table
	space atomic.Pointer[vfs.Namespace] // nil before Start

	mu     sync.Mutex
	limits [limitCount]syscall.Rlimit
	nice   int
	attributes
	credentials credentials
}

// process is the program. Package syscall, which is initialised before this package, raises the limit
// of descriptors then: so this has to be data, not code.
var process = processState{
	limits: [limitCount]syscall.Rlimit{
		syscall.RLIMIT_CPU:    {Cur: limitNone, Max: limitNone},
		syscall.RLIMIT_FSIZE:  {Cur: limitNone, Max: limitNone},
		syscall.RLIMIT_DATA:   {Cur: limitNone, Max: limitNone},
		syscall.RLIMIT_STACK:  {Cur: 8 << 20, Max: limitNone},
		syscall.RLIMIT_CORE:   {Cur: 0, Max: limitNone},
		limitRSS:              {Cur: limitNone, Max: limitNone},
		limitProcesses:        {Cur: limitNone, Max: limitNone},
		syscall.RLIMIT_NOFILE: {Cur: 1024, Max: MaxFiles},
		limitMemlock:          {Cur: limitNone, Max: limitNone},
		syscall.RLIMIT_AS:     {Cur: limitNone, Max: limitNone},
		limitLocks:            {Cur: limitNone, Max: limitNone},
		limitPending:          {Cur: limitNone, Max: limitNone},
		limitQueues:           {Cur: limitNone, Max: limitNone},
		limitTime:             {Cur: limitNone, Max: limitNone},
	},
	attributes:  attributes{name: [16]byte{'m', 'a', 'i', 'n'}, dumpable: 1, timerslack: defaultTimerslack},
	credentials: credentials{permitted: AllCapabilities, effective: AllCapabilities},
}

// Limits that package syscall does not name (getrlimit(2)). Those of priorities stay 0.
const (
	limitRSS       = 5
	limitProcesses = 6
	limitMemlock   = 8
	limitLocks     = 10
	limitPending   = 11
	limitQueues    = 12
	limitTime      = 15
)

const (
	limitCount = 16 // RLIM_NLIMITS
	limitNone  = ^uint64(0)
	// MaxFiles is the highest limit of descriptors, as fs.nr_open is on Linux.
	MaxFiles = 1 << 20
)

// Start gives the program its name space of files, and the console as descriptors 0, 1 and 2. framed
// says that console input is framed.
func Start(space *vfs.Namespace, framed bool) {
	space.OpenFifo = openFifo
	space.ShareUmask(umask)
	process.space.Store(space)
	startUnix(space)
	console.open(framed)
}

// space returns the program's name space of files. A package that is initialised before package boot
// may look for a file already: then the kernel starts now.
func space() *vfs.Namespace {
	if s := process.space.Load(); s != nil {
		return s
	}
	startKernel()
	return process.space.Load()
}

// limit returns a resource limit.
func (p *processState) limit(resource int) (syscall.Rlimit, syscall.Errno) {
	if resource < 0 || resource >= limitCount {
		return syscall.Rlimit{}, syscall.EINVAL
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits[resource], 0
}

// setLimit sets a resource limit. Only RLIMIT_NOFILE is enforced.
func (p *processState) setLimit(resource int, l syscall.Rlimit) syscall.Errno {
	if resource < 0 || resource >= limitCount || l.Cur > l.Max {
		return syscall.EINVAL
	}
	if resource == syscall.RLIMIT_NOFILE && l.Max > MaxFiles {
		return syscall.EPERM
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.Max > p.limits[resource].Max && !p.credentials.capable(capSysResource) {
		return syscall.EPERM
	}
	p.limits[resource] = l
	return 0
}

// maxFD returns the number that descriptors must be below.
func (p *processState) maxFD() int {
	l, _ := p.limit(syscall.RLIMIT_NOFILE)
	return int(min(l.Cur, MaxFiles))
}

// install opens a descriptor for f, whose reference it takes over. flags has O_CLOEXEC or not.
func (p *processState) install(f *vfs.File, flags int) (uintptr, syscall.Errno) {
	fd, err := p.files.add(f, 0, p.maxFD(), flags&syscall.O_CLOEXEC != 0)
	return uintptr(fd), err
}

// installObject opens a descriptor for a new open file of o, read and written, for which flags may
// have O_NONBLOCK and O_CLOEXEC. name is what /proc/self/fd shows.
func (p *processState) installObject(o object, flags int, name string) (uintptr, syscall.Errno) {
	return p.install(vfs.NewFile(o, syscall.O_RDWR|flags&syscall.O_NONBLOCK, 0o600, name), flags)
}

// closeFD closes a descriptor.
func closeFD(fd int) syscall.Errno {
	f, err := process.files.close(fd)
	if err != 0 {
		return err
	}
	return closeFile(f)
}

// closeFile gives up a descriptor's reference to f. Closing any descriptor of a file drops the
// process's record locks on it (fcntl(2)).
func closeFile(f *vfs.File) syscall.Errno {
	f.ReleaseRecordLocks(pid)
	return errno(f.Close())
}

// The program is process 1, in process group and session 1.
func sysGetpid(args) (uintptr, syscall.Errno)  { return pid, 0 }
func sysGetppid(args) (uintptr, syscall.Errno) { return 0, 0 }
func sysGettid(args) (uintptr, syscall.Errno)  { return uintptr(gettid()), 0 }

// sysZero answers calls that always succeed and change nothing.
func sysZero(args) (uintptr, syscall.Errno) { return 0, 0 }

// sysGetpgid is getpgid and getsid.
func sysGetpgid(a args) (uintptr, syscall.Errno) {
	if id := a.int(0); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	return pid, 0
}

// sysSetpgid is setpgid: process 1 leads its session, whose group cannot change (setpgid(2)).
func sysSetpgid(a args) (uintptr, syscall.Errno) {
	if id := a.int(0); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	return 0, syscall.EPERM
}

func sysGetrlimit(a args) (uintptr, syscall.Errno) {
	l, err := process.limit(a.int(0))
	if err != 0 {
		return 0, err
	}
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	*(*syscall.Rlimit)(a.p[1]) = l
	return 0, 0
}

func sysSetrlimit(a args) (uintptr, syscall.Errno) {
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	return 0, process.setLimit(a.int(0), *(*syscall.Rlimit)(a.p[1]))
}

func sysPrlimit64(a args) (uintptr, syscall.Errno) {
	if id := a.int(0); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	old, err := process.limit(a.int(1))
	if err != 0 {
		return 0, err
	}
	if a.p[2] != nil {
		if err := process.setLimit(a.int(1), *(*syscall.Rlimit)(a.p[2])); err != 0 {
			return 0, err
		}
	}
	if a.p[3] != nil {
		*(*syscall.Rlimit)(a.p[3]) = old
	}
	return 0, 0
}

// sysExit is exit and exit_group: the exit of a goroutine's thread is that of the program.
func sysExit(a args) (uintptr, syscall.Errno) {
	Finish()
	exit(int(uint8(a.n[0])))
	return 0, 0
}

// Answers of what a program that is process 1 of a locked-down Linux is refused.
func sysEPERM(args) (uintptr, syscall.Errno)  { return 0, syscall.EPERM }
func sysEINVAL(args) (uintptr, syscall.Errno) { return 0, syscall.EINVAL }
func sysECHILD(args) (uintptr, syscall.Errno) { return 0, syscall.ECHILD }
func sysEINTR(args) (uintptr, syscall.Errno)  { return 0, syscall.EINTR }
