package linux

import "syscall"

// Operations of prctl (prctl(2)).
const (
	prSetPdeathsig      = 1
	prGetPdeathsig      = 2
	prGetDumpable       = 3
	prSetDumpable       = 4
	prGetKeepcaps       = 7
	prSetKeepcaps       = 8
	prSetName           = 15
	prGetName           = 16
	prGetSeccomp        = 21
	prCapbsetRead       = 23
	prSetTimerslack     = 29
	prGetTimerslack     = 30
	prSetChildSubreaper = 36
	prGetChildSubreaper = 37
	prSetNoNewPrivs     = 38
	prGetNoNewPrivs     = 39
	prSetTHPDisable     = 41
	prGetTHPDisable     = 42
)

// defaultTimerslack is Linux's, in nanoseconds.
const defaultTimerslack = 50000

// attributes are what prctl keeps and what has no other effect. They are guarded by process.mu.
type attributes struct {
	name            [16]byte
	dumpable        uint8
	deathSignal     int32
	timerslack      uintptr // nanoseconds
	noNewPrivileges bool
	noHugePages     bool
	subreaper       bool
}

func sysPrctl(a args) (uintptr, syscall.Errno) {
	switch operation := a.int(0); operation {
	case prSetName:
		return 0, setName(&a)
	case prGetName, prGetPdeathsig, prGetChildSubreaper:
		if a.p[1] == nil {
			return 0, syscall.EFAULT
		}
		process.mu.Lock()
		attributes := process.attributes
		process.mu.Unlock()
		switch operation {
		case prGetName:
			*(*[16]byte)(a.p[1]) = attributes.name
		case prGetPdeathsig:
			*(*int32)(a.p[1]) = attributes.deathSignal
		default:
			*(*int32)(a.p[1]) = int32(truth(attributes.subreaper))
		}
		return 0, 0
	default:
		process.mu.Lock()
		defer process.mu.Unlock()
		return process.attribute(operation, a.word(1), a.n[2] == 0 && a.n[3] == 0 && a.n[4] == 0)
	}
}

// setName sets the process's name, cut to 15 bytes.
func setName(a *args) syscall.Errno {
	if a.p[1] == nil {
		return syscall.EFAULT
	}
	var name [16]byte
	for i := range name[:15] {
		c := (*[15]byte)(a.p[1])[i]
		if c == 0 {
			break
		}
		name[i] = c
	}
	process.mu.Lock()
	process.name = name
	process.mu.Unlock()
	return 0
}

func truth(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

// attribute carries out a prctl without memory of the caller. plain says that arguments 2 to 4 are 0.
func (p *processState) attribute(operation int, value uintptr, plain bool) (uintptr, syscall.Errno) {
	switch operation {
	case prSetPdeathsig:
		if value > lastSignal {
			return 0, syscall.EINVAL
		}
		p.deathSignal = int32(value)
	case prGetDumpable:
		return uintptr(p.dumpable), 0
	case prSetDumpable:
		if value > 1 {
			return 0, syscall.EINVAL
		}
		p.dumpable = uint8(value)
	case prGetKeepcaps:
		return truth(p.credentials.keepCapabilities), 0
	case prSetKeepcaps:
		if value > 1 {
			return 0, syscall.EINVAL
		}
		p.credentials.keepCapabilities = value != 0
	case prGetSeccomp:
	case prCapbsetRead:
		if value > lastCapability {
			return 0, syscall.EINVAL
		}
		return 1, 0
	case prSetTimerslack:
		if int(value) <= 0 {
			value = defaultTimerslack
		}
		p.timerslack = value
	case prGetTimerslack:
		return p.timerslack, 0
	case prSetChildSubreaper:
		p.subreaper = value != 0
	case prSetNoNewPrivs:
		if value != 1 || !plain {
			return 0, syscall.EINVAL
		}
		p.noNewPrivileges = true
	case prGetNoNewPrivs:
		if value != 0 || !plain {
			return 0, syscall.EINVAL
		}
		return truth(p.noNewPrivileges), 0
	case prSetTHPDisable:
		if !plain {
			return 0, syscall.EINVAL
		}
		p.noHugePages = value != 0
	case prGetTHPDisable:
		if value != 0 || !plain {
			return 0, syscall.EINVAL
		}
		return truth(p.noHugePages), 0
	default:
		return 0, syscall.EINVAL
	}
	return 0, 0
}
