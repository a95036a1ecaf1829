package linux

import (
	"sync"
	"syscall"
	"time"
)

// How long the end of the program, and an interrupt that may end it, waits for disks.
const (
	finishTime    = 30 * time.Second
	interruptTime = 5 * time.Second
)

var finish sync.Once

// Finish leaves the file systems in order: the program ends. It is called by a goroutine that may wait.
func Finish() {
	finish.Do(func() {
		s := process.space.Load()
		if s == nil || !s.MustUnmount() {
			return
		}
		if !within(finishTime, func() {
			s.Unmount(func(path string, err error) {
				complain(path + " could not be unmounted: " + err.Error())
			})
		}) {
			complain("the disks did not take what was to be written within 30 s; the next mount repairs their file systems")
		}
	})
}

// interrupt sends the program a signal from its terminal. That may end it without anything like
// Finish, so what files have is written back first. It does not wait.
func interrupt(sig syscall.Signal) {
	s := process.space.Load()
	if s == nil || !s.MustUnmount() {
		send(0, int(sig))
		return
	}
	go func() {
		within(interruptTime, func() { _ = s.Sync() })
		send(0, int(sig))
	}()
}

// within runs f and reports whether it has ended in time.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func complain(text string) { consoleWrite([]byte("goshawk: " + text + "\r\n")) }
