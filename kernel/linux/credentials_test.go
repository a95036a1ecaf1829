//go:build !goshawk

package linux

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// onThread calls f on a thread of its own, which ends afterwards: the host keeps credentials by thread.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		f()
	}()
	<-done
}

func rootOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("compares with what Linux answers root")
	}
}

// logCredentials logs all that can be asked for.
func (k *kernel) logCredentials() {
	var list [6]uint32
	k.quiet(syscall.SYS_GETRESUID, unsafe.Pointer(&list[0]), unsafe.Pointer(&list[1]), unsafe.Pointer(&list[2]))
	k.quiet(syscall.SYS_GETRESGID, unsafe.Pointer(&list[3]), unsafe.Pointer(&list[4]), unsafe.Pointer(&list[5]))
	fsuid, _ := k.quiet(syscall.SYS_SETFSUID, -1)
	fsgid, _ := k.quiet(syscall.SYS_SETFSGID, -1)
	groups := make([]uint32, 8)
	n, _ := k.quiet(syscall.SYS_GETGROUPS, 8, unsafe.Pointer(&groups[0]))
	sets := make([]capSet, 2)
	k.quiet(syscall.SYS_CAPGET, unsafe.Pointer(&capHeader{version: capVersion3}), unsafe.Pointer(&sets[0]))
	keep, _ := k.quiet(syscall.SYS_PRCTL, prGetKeepcaps)
	k.logf("ids %v fs %d %d groups %v capabilities %x keep %d", list, fsuid, fsgid, groups[:max(0, n)], sets, keep)
}

// What every sequence of calls leaves behind is what Linux leaves behind.
func TestCredentials(t *testing.T) {
	rootOnly(t)
	for seed := range int64(150) {
		both(t, func(k *kernel) {
			onThread(func() {
				// The host's root may lack capabilities: both begin with the same few.
				some := []capSet{{}, {}}
				some[0].effective = 1<<0 | 1<<capSetgid | 1<<capSetuid | 1<<capSetpcap
				some[0].permitted = some[0].effective
				k.do("capset", syscall.SYS_CAPSET, unsafe.Pointer(&capHeader{version: capVersion3}), unsafe.Pointer(&some[0]))
				k.quiet(syscall.SYS_SETGROUPS, 0, nil)
				k.logCredentials()
				r := rand.New(rand.NewSource(seed))
				id := func() int { return r.Intn(4) - 1 }
				for range 12 {
					switch r.Intn(11) {
					case 0:
						k.do("setuid", syscall.SYS_SETUID, id())
					case 1:
						k.do("setgid", syscall.SYS_SETGID, id())
					case 2:
						k.do("setreuid", syscall.SYS_SETREUID, id(), id())
					case 3:
						k.do("setregid", syscall.SYS_SETREGID, id(), id())
					case 4:
						k.do("setresuid", syscall.SYS_SETRESUID, id(), id(), id())
					case 5:
						k.do("setresgid", syscall.SYS_SETRESGID, id(), id(), id())
					case 6:
						k.do("setfsuid", syscall.SYS_SETFSUID, id())
					case 7:
						k.do("setfsgid", syscall.SYS_SETFSGID, id())
					case 8:
						k.do("setgroups", syscall.SYS_SETGROUPS, 3, unsafe.Pointer(&[]uint32{uint32(r.Intn(9)), 5, 4}[0]))
					case 9:
						k.do("keep capabilities", syscall.SYS_PRCTL, prSetKeepcaps, r.Intn(3), 0, 0, 0)
					case 10:
						sets := make([]capSet, 2)
						for i := range sets {
							random := func() uint32 { return uint32(r.Intn(2)) << capSetuid * uint32(1-i) }
							sets[i] = capSet{random(), random() | 1<<capSetgid*uint32(1-i), random()}
						}
						k.do("capset", syscall.SYS_CAPSET, unsafe.Pointer(&capHeader{version: capVersion3}), unsafe.Pointer(&sets[0]))
					}
					k.logCredentials()
				}
			})
		})
	}
}

func TestCredentialErrors(t *testing.T) {
	rootOnly(t)
	both(t, func(k *kernel) {
		onThread(func() {
			k.do("too many groups", syscall.SYS_SETGROUPS, MaxGroups+1, nil)
			k.do("groups nil", syscall.SYS_SETGROUPS, 2, nil)
			k.do("setgroups", syscall.SYS_SETGROUPS, 2, unsafe.Pointer(&[]uint32{9, 3}[0]))
			k.do("getgroups count", syscall.SYS_GETGROUPS, 0, nil)
			k.do("getgroups short", syscall.SYS_GETGROUPS, 1, make([]byte, 8))
			k.do("capget nil", syscall.SYS_CAPGET, nil, nil)
			h := &capHeader{version: 1}
			k.do("capget version", syscall.SYS_CAPGET, unsafe.Pointer(h), make([]byte, 24))
			k.logf("%x", h.version)
			k.do("capget nobody", syscall.SYS_CAPGET, unsafe.Pointer(&capHeader{version: capVersion3, pid: 999999}), make([]byte, 24))
			k.do("capget negative", syscall.SYS_CAPGET, unsafe.Pointer(&capHeader{version: capVersion3, pid: -1}), make([]byte, 24))
			k.do("capset nobody", syscall.SYS_CAPSET, unsafe.Pointer(&capHeader{version: capVersion3, pid: 999999}), make([]byte, 24))
			k.do("setuid", syscall.SYS_SETUID, 7)
			k.do("setgroups", syscall.SYS_SETGROUPS, 0, nil)
			limit := &syscall.Rlimit{}
			k.quiet(syscall.SYS_GETRLIMIT, limitMemlock, unsafe.Pointer(limit))
			k.do("setrlimit same", syscall.SYS_SETRLIMIT, limitMemlock, unsafe.Pointer(limit))
			k.do("setpriority", syscall.SYS_SETPRIORITY, 0, 0, -5)
		})
	})
	k := goshawkKernel(t)
	limit := &syscall.Rlimit{Cur: 10, Max: 10}
	_, err := k.quiet(syscall.SYS_SETRLIMIT, syscall.RLIMIT_NOFILE, unsafe.Pointer(limit))
	assert.Zero(t, err)
	k.quiet(syscall.SYS_SETUID, 7)
	limit.Max++
	_, err = k.quiet(syscall.SYS_SETRLIMIT, syscall.RLIMIT_NOFILE, unsafe.Pointer(limit))
	assert.Equal(t, syscall.EPERM, err)
}

func TestPrctl(t *testing.T) {
	both(t, func(k *kernel) {
		onThread(func() {
			k.quiet(syscall.SYS_PRCTL, prSetDumpable, 1) // the host's process may have lost it
			out := new(int32)
			ask := func(name string, operation int) {
				_, err := k.quiet(syscall.SYS_PRCTL, operation, unsafe.Pointer(out), 0, 0, 0)
				k.logf("%s %d %s", name, *out, errName(err))
			}
			for _, v := range [][5]int{
				{prSetPdeathsig, 10}, {prSetPdeathsig, 65}, {prGetDumpable}, {prSetDumpable, 2}, {prSetDumpable, 1}, {prGetDumpable},
				{prGetKeepcaps}, {prSetKeepcaps, 1}, {prGetKeepcaps}, {prSetKeepcaps, 2}, {prGetSeccomp},
				{prCapbsetRead, 0}, {prCapbsetRead, 99}, {prGetTimerslack}, {prSetTimerslack, 1234}, {prGetTimerslack}, {prSetTimerslack, 0}, {prGetTimerslack},
				{prSetNoNewPrivs, 0}, {prSetNoNewPrivs, 1, 1}, {prGetNoNewPrivs}, {prSetNoNewPrivs, 1}, {prGetNoNewPrivs}, {prGetNoNewPrivs, 1},
				{prSetTHPDisable, 1, 1}, {prGetTHPDisable, 1}, {9999},
			} {
				k.do(fmt.Sprint("prctl ", v), syscall.SYS_PRCTL, v[0], v[1], v[2], v[3], v[4])
			}
			ask("death signal", prGetPdeathsig)
			k.do("death signal nil", syscall.SYS_PRCTL, prGetPdeathsig, nil)
		})
	})
}
