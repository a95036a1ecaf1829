package linux

import (
	"runtime"
	"sync/atomic"
	"syscall"
)

// What uname and /proc/sys/kernel tell.
const (
	OSType    = "Linux" // so that programs take it for what it acts as
	OSRelease = "6.1.0-goshawk"
	OSVersion = "#1 SMP Goshawk"
)

// hostName is what SetHostName has set, nil for the default.
var hostName atomic.Pointer[string]

// HostName returns the machine's name.
func HostName() string {
	if name := hostName.Load(); name != nil {
		return *name
	}
	return "goshawk"
}

// SetHostName gives the machine a name. What is longer than uname can tell, 64 bytes, is cut.
func SetHostName(name string) {
	name = name[:min(len(name), 64)]
	hostName.Store(&name)
}

func sysUname(a args) (uintptr, syscall.Errno) {
	u := (*syscall.Utsname)(a.p[0])
	if u == nil {
		return 0, syscall.EFAULT
	}
	*u = syscall.Utsname{}
	set := func(field *[65]int8, s string) {
		for i := range len(s) {
			field[i] = int8(s[i])
		}
	}
	set(&u.Sysname, OSType)
	set(&u.Nodename, HostName())
	set(&u.Release, OSRelease)
	set(&u.Version, OSVersion)
	set(&u.Machine, machineName)
	set(&u.Domainname, "(none)")
	return 0, 0
}

func sysSysinfo(a args) (uintptr, syscall.Errno) {
	info := (*syscall.Sysinfo_t)(a.p[0])
	if info == nil {
		return 0, syscall.EFAULT
	}
	total, free := memInfo()
	*info = syscall.Sysinfo_t{
		Uptime: nanotime() / second, Totalram: total, Freeram: free, Procs: 1, Unit: 1,
	}
	return 0, 0
}

const grndFlags = 1 | 2 | 4 // GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE

func sysGetrandom(a args) (uintptr, syscall.Errno) {
	if flags := a.uint32(2); flags&^grndFlags != 0 || flags&6 == 6 {
		return 0, syscall.EINVAL
	}
	p, err := a.bytes(0, 1)
	if err != 0 {
		return 0, err
	}
	random(p)
	return uintptr(len(p)), 0
}

func sysGetcpu(a args) (uintptr, syscall.Errno) {
	if a.p[0] != nil {
		*(*uint32)(a.p[0]) = uint32(currentCPU())
	}
	if a.p[1] != nil {
		*(*uint32)(a.p[1]) = 0 // node
	}
	return 0, 0
}

// Scheduling policies (sched(7)).
const (
	schedOther = 0
	schedFIFO  = 1
	schedRR    = 2
	schedBatch = 3
	schedIdle  = 5
)

func sysSchedGetscheduler(args) (uintptr, syscall.Errno) { return schedOther, 0 }

func sysSchedGetparam(a args) (uintptr, syscall.Errno) {
	if a.p[1] == nil {
		return 0, syscall.EINVAL
	}
	*(*int32)(a.p[1]) = 0
	return 0, 0
}

// sysSchedPriority is sched_get_priority_min; sysSchedPriorityMax is sched_get_priority_max.
func sysSchedPriorityMin(a args) (uintptr, syscall.Errno) { return schedPriority(a.int(0), 1) }
func sysSchedPriorityMax(a args) (uintptr, syscall.Errno) { return schedPriority(a.int(0), 99) }

func schedPriority(policy int, realtime uintptr) (uintptr, syscall.Errno) {
	switch policy {
	case schedFIFO, schedRR:
		return realtime, 0
	case schedOther, schedBatch, schedIdle:
		return 0, 0
	}
	return 0, syscall.EINVAL
}

// sysSchedYield is sched_yield.
func sysSchedYield(args) (uintptr, syscall.Errno) {
	runtime.Gosched()
	return 0, 0
}

// sysSchedSetaffinity is sched_setaffinity: it accepts a set that has a CPU of the machine in it, and
// does not act on it, since goroutines move between threads anyway.
func sysSchedSetaffinity(a args) (uintptr, syscall.Errno) {
	set, err := a.bytes(2, 1)
	if err != 0 {
		return 0, err
	}
	for cpu := range min(numCPU(), 8*len(set)) {
		if set[cpu/8]&(1<<(cpu%8)) != 0 {
			return 0, 0
		}
	}
	return 0, syscall.EINVAL
}

const prioMax = 20 // a nice value n is returned as prioMax-n, to be positive

func sysGetpriority(a args) (uintptr, syscall.Errno) {
	if which := a.int(0); which < 0 || which > syscall.PRIO_USER {
		return 0, syscall.EINVAL
	}
	process.mu.Lock()
	defer process.mu.Unlock()
	return uintptr(prioMax - process.nice), 0
}

func sysSetpriority(a args) (uintptr, syscall.Errno) {
	if which := a.int(0); which < 0 || which > syscall.PRIO_USER {
		return 0, syscall.EINVAL
	}
	nice := max(-prioMax, min(prioMax-1, a.int(2)))
	process.mu.Lock()
	defer process.mu.Unlock()
	if nice < process.nice && !process.credentials.capable(capSysNice) {
		return 0, syscall.EACCES
	}
	process.nice = nice
	return 0, 0
}

// sysPersonality is personality: PER_LINUX, and no other.
func sysPersonality(a args) (uintptr, syscall.Errno) {
	if p := a.uint32(0); p != 0 && p != 0xffffffff {
		return 0, syscall.EINVAL
	}
	return 0, 0
}
