package linux

import (
	"slices"
	"syscall"
	"unsafe"
)

// ids are a process's user or group ids (credentials(7)).
type ids struct{ real, effective, saved, file uint32 }

func (i *ids) has(id uint32) bool { return id == i.real || id == i.effective || id == i.saved }

// credentials are the process's: Linux keeps them for each thread, but a goroutine has no thread of
// its own. They are guarded by process.mu.
type credentials struct {
	user, group ids
	groups      []uint32 // supplementary, in ascending order; never changed in place

	permitted, effective, inheritable uint64 // capabilities, bit n is number n
	keepCapabilities                  bool   // PR_SET_KEEPCAPS
}

// Capabilities (capabilities(7)).
const (
	capSetgid      = 6
	capSetuid      = 7
	capSetpcap     = 8
	capSysAdmin    = 21
	capSysNice     = 23
	capSysResource = 24
	lastCapability = 40 // CAP_CHECKPOINT_RESTORE

	// AllCapabilities is the set of all of them.
	AllCapabilities = 1<<(lastCapability+1) - 1

	// fileCapabilities follow the file system user id (capabilities(7)): CAP_CHOWN, CAP_DAC_OVERRIDE,
	// CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_LINUX_IMMUTABLE, CAP_MKNOD, CAP_MAC_OVERRIDE.
	fileCapabilities = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<9 | 1<<27 | 1<<32
)

func (c *credentials) capable(capability int) bool { return c.effective>>capability&1 != 0 }

// unchanged is the id that setresuid and its like leave as it is.
const unchanged = 1<<32 - 1

// changeCredentials lets change work on a copy of the credentials, which take effect if it returns 0.
func (p *processState) changeCredentials(change func(c *credentials) syscall.Errno) syscall.Errno {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.credentials
	if err := change(&c); err != 0 {
		return err
	}
	c.dropCapabilities(&p.credentials)
	old := &p.credentials
	if c.user.effective != old.user.effective || c.user.file != old.user.file ||
		c.group.effective != old.group.effective || c.group.file != old.group.file || c.permitted&^old.permitted != 0 {
		p.dumpable, p.deathSignal = 0, 0 // prctl(2)
	}
	p.credentials = c
	publishIDs(c.user, c.group)
	return 0
}

// dropCapabilities adjusts the capabilities to a change of user ids (capabilities(7)).
func (c *credentials) dropCapabilities(old *credentials) {
	if old.user.has(0) && !c.user.has(0) && !c.keepCapabilities {
		c.permitted, c.effective = 0, 0
	}
	if was, is := old.user.effective, c.user.effective; was == 0 && is != 0 {
		c.effective = 0
	} else if was != 0 && is == 0 {
		c.effective = c.permitted
	}
}

// set is setuid and setgid.
func (i *ids) set(id uint32, capable bool) syscall.Errno {
	switch {
	case id == unchanged:
		return syscall.EINVAL
	case capable:
		*i = ids{id, id, id, id}
	case id == i.real || id == i.saved:
		i.effective, i.file = id, id
	default:
		return syscall.EPERM
	}
	return 0
}

// setTwo is setreuid and setregid.
func (i *ids) setTwo(realID, effective uint32, capable bool) syscall.Errno {
	old := *i
	if realID != unchanged {
		if !capable && realID != old.real && realID != old.effective {
			return syscall.EPERM
		}
		i.real = realID
	}
	if effective != unchanged {
		if !capable && !old.has(effective) {
			return syscall.EPERM
		}
		i.effective = effective
	}
	if realID != unchanged || effective != unchanged && effective != old.real {
		i.saved = i.effective
	}
	i.file = i.effective
	return 0
}

// setThree is setresuid and setresgid.
func (i *ids) setThree(realID, effective, saved uint32, capable bool) syscall.Errno {
	old := *i
	if (realID == unchanged || realID == old.real) && (saved == unchanged || saved == old.saved) &&
		(effective == unchanged || effective == old.effective && effective == old.file) {
		return 0 // not even the file system ID follows
	}
	for _, id := range []struct {
		to  *uint32
		new uint32
	}{{&i.real, realID}, {&i.effective, effective}, {&i.saved, saved}} {
		if id.new == unchanged {
			continue
		}
		if !capable && !old.has(id.new) {
			return syscall.EPERM
		}
		*id.to = id.new
	}
	i.file = i.effective
	return 0
}

// setFile is setfsuid and setfsgid. It returns what the id was, whether it can be set or not.
func (i *ids) setFile(id uint32, capable bool) (old uint32) {
	old = i.file
	if id != unchanged && (capable || id == old || i.has(id)) {
		i.file = id
	}
	return old
}

func sysSetuid(a args) (uintptr, syscall.Errno) {
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		return c.user.set(a.uint32(0), c.capable(capSetuid))
	})
}

func sysSetgid(a args) (uintptr, syscall.Errno) {
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		return c.group.set(a.uint32(0), c.capable(capSetgid))
	})
}

func sysSetreuid(a args) (uintptr, syscall.Errno) {
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		return c.user.setTwo(a.uint32(0), a.uint32(1), c.capable(capSetuid))
	})
}

func sysSetregid(a args) (uintptr, syscall.Errno) {
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		return c.group.setTwo(a.uint32(0), a.uint32(1), c.capable(capSetgid))
	})
}

func sysSetresuid(a args) (uintptr, syscall.Errno) {
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		return c.user.setThree(a.uint32(0), a.uint32(1), a.uint32(2), c.capable(capSetuid))
	})
}

func sysSetresgid(a args) (uintptr, syscall.Errno) {
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		return c.group.setThree(a.uint32(0), a.uint32(1), a.uint32(2), c.capable(capSetgid))
	})
}

func sysSetfsuid(a args) (old uintptr, err syscall.Errno) {
	err = process.changeCredentials(func(c *credentials) syscall.Errno {
		was := c.user.setFile(a.uint32(0), c.capable(capSetuid))
		if was == 0 && c.user.file != 0 {
			c.effective &^= fileCapabilities
		} else if was != 0 && c.user.file == 0 {
			c.effective |= fileCapabilities & c.permitted
		}
		old = uintptr(was)
		return 0
	})
	return old, err
}

func sysSetfsgid(a args) (old uintptr, err syscall.Errno) {
	err = process.changeCredentials(func(c *credentials) syscall.Errno {
		old = uintptr(c.group.setFile(a.uint32(0), c.capable(capSetgid)))
		return 0
	})
	return old, err
}

// Credentials of the process, as /proc shows them.
type Credentials struct {
	User, Group                       [4]uint32 // real, effective, saved, of the file system
	Groups                            []uint32  // supplementary; not to be changed
	Inheritable, Permitted, Effective uint64    // capabilities
	NoNewPrivileges                   bool
}

// ProcessCredentials returns the process's credentials.
func ProcessCredentials() Credentials {
	process.mu.Lock()
	defer process.mu.Unlock()
	c := &process.credentials
	list := func(i ids) [4]uint32 { return [4]uint32{i.real, i.effective, i.saved, i.file} }
	return Credentials{
		User: list(c.user), Group: list(c.group), Groups: c.groups,
		Inheritable: c.inheritable, Permitted: c.permitted, Effective: c.effective,
		NoNewPrivileges: process.noNewPrivileges,
	}
}

func sysGetuid(args) (uintptr, syscall.Errno)  { return uintptr(ProcessCredentials().User[0]), 0 }
func sysGeteuid(args) (uintptr, syscall.Errno) { return uintptr(ProcessCredentials().User[1]), 0 }
func sysGetgid(args) (uintptr, syscall.Errno)  { return uintptr(ProcessCredentials().Group[0]), 0 }
func sysGetegid(args) (uintptr, syscall.Errno) { return uintptr(ProcessCredentials().Group[1]), 0 }

func sysGetresuid(a args) (uintptr, syscall.Errno) {
	return storeIDs(&a, ProcessCredentials().User)
}

func sysGetresgid(a args) (uintptr, syscall.Errno) {
	return storeIDs(&a, ProcessCredentials().Group)
}

// storeIDs stores the real, effective and saved id where the first three arguments say.
func storeIDs(a *args, list [4]uint32) (uintptr, syscall.Errno) {
	for i, p := range a.p[:3] {
		if p == nil {
			return 0, syscall.EFAULT
		}
		*(*uint32)(p) = list[i]
	}
	return 0, 0
}

func sysGetgroups(a args) (uintptr, syscall.Errno) {
	groups := ProcessCredentials().Groups
	size := a.int(0)
	switch {
	case size < 0 || size > 0 && size < len(groups):
		return 0, syscall.EINVAL
	case size == 0:
		return uintptr(len(groups)), 0
	}
	out, err := array[uint32](a.p[1], len(groups))
	copy(out, groups)
	return uintptr(len(groups)), err
}

// MaxGroups is the most supplementary groups that a process may have (NGROUPS_MAX).
const MaxGroups = 65536

func sysSetgroups(a args) (uintptr, syscall.Errno) {
	n := a.int(0)
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		if !c.capable(capSetgid) {
			return syscall.EPERM
		}
		if n < 0 || n > MaxGroups {
			return syscall.EINVAL
		}
		in, err := array[uint32](a.p[1], n)
		if err != 0 {
			return err
		}
		if slices.Contains(in, unchanged) {
			return syscall.EINVAL
		}
		c.groups = slices.Clone(in)
		slices.Sort(c.groups)
		return 0
	})
}

// capHeader is struct __user_cap_header_struct.
type capHeader struct {
	version uint32
	pid     int32
}

const (
	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

// capWords returns how many sets of three words the version has that the header names.
func capWords(p unsafe.Pointer) (int, syscall.Errno) {
	h := (*capHeader)(p)
	if h == nil {
		return 0, syscall.EFAULT
	}
	switch h.version {
	case capVersion1:
		return 1, 0
	case capVersion2, capVersion3:
		return 2, 0
	}
	h.version = capVersion3
	return 0, syscall.EINVAL
}

// capSet is struct __user_cap_data_struct: 32 capabilities.
type capSet struct{ effective, permitted, inheritable uint32 }

func sysCapget(a args) (uintptr, syscall.Errno) {
	n, err := capWords(a.p[0])
	if a.p[1] == nil && a.p[0] != nil {
		return 0, 0 // a probe for the version
	}
	if err != 0 {
		return 0, err
	}
	switch id := (*capHeader)(a.p[0]).pid; {
	case id < 0:
		return 0, syscall.EINVAL
	case id != 0 && !isThread(int(id)):
		return 0, syscall.ESRCH
	}
	c := ProcessCredentials()
	sets := unsafe.Slice((*capSet)(a.p[1]), n)
	for i := range sets {
		shift := 32 * i
		sets[i] = capSet{uint32(c.Effective >> shift), uint32(c.Permitted >> shift), uint32(c.Inheritable >> shift)}
	}
	return 0, 0
}

func sysCapset(a args) (uintptr, syscall.Errno) {
	n, err := capWords(a.p[0])
	if err != 0 {
		return 0, err
	}
	if id := (*capHeader)(a.p[0]).pid; id != 0 && !isThread(int(id)) {
		return 0, syscall.EPERM
	}
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	var effective, permitted, inheritable uint64
	for i, s := range unsafe.Slice((*capSet)(a.p[1]), n) {
		shift := 32 * i
		effective |= uint64(s.effective) << shift & AllCapabilities
		permitted |= uint64(s.permitted) << shift & AllCapabilities
		inheritable |= uint64(s.inheritable) << shift & AllCapabilities
	}
	return 0, process.changeCredentials(func(c *credentials) syscall.Errno {
		if permitted&^c.permitted != 0 || effective&^permitted != 0 ||
			!c.capable(capSetpcap) && inheritable&^(c.inheritable|c.permitted) != 0 {
			return syscall.EPERM
		}
		c.effective, c.permitted, c.inheritable = effective, permitted, inheritable
		return 0
	})
}
