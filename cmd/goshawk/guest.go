package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/goshawk-os/goshawk/qemu"
)

// endingSignals are those that end goshawk, and with it what it has started.
var endingSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// building returns a context that a signal ends.
func building() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), endingSignals...)
}

// boot runs a machine on this process's console until it ends, and returns the guest's exit status.
// The first interrupt from the terminal goes to the guest; a second one, or another signal, ends it.
func boot(m *qemu.Machine) (int, error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endingSignals...)
	defer signal.Stop(signals)
	p, err := m.Start(context.Background())
	if err != nil {
		return 0, explainPort(err)
	}
	ended := make(chan struct{})
	killer := make(chan syscall.Signal, 1)
	go func() {
		interrupted := false
		for {
			select {
			case s := <-signals:
				if s == os.Interrupt && !interrupted {
					interrupted = true
					p.Interrupt()
					continue
				}
				killer <- s.(syscall.Signal)
				p.Kill()
				return
			case <-ended:
				return
			}
		}
	}()
	status, err := p.Wait()
	close(ended)
	select {
	case s := <-killer:
		fmt.Fprintf(os.Stderr, "goshawk: the machine was ended by a signal: %v\n", s)
		return 128 + int(s), nil
	default:
	}
	switch {
	case errors.Is(err, qemu.ErrTimeout):
		return statusTimeout, err
	case errors.Is(err, qemu.ErrNoStatus):
		return statusNoGuest, err
	}
	return status, err
}
