package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrTimeout is the error of a machine that ran longer than Machine.Timeout.
var ErrTimeout = errors.New("the machine did not stop")

// A Process is a running machine. It must be waited for.
type Process struct {
	cmd      *exec.Cmd
	ctx      context.Context
	giveUp   context.CancelCauseFunc // kills QEMU
	cancel   func()                  // giveUp without a cause, and releases what it needs
	feeder   *feeder
	messages *tail         // QEMU's messages
	reports  *reports      // what the guest reported on its debug port
	drained  chan struct{} // closed at the end of reports
}

// Start starts the machine. When ctx ends, QEMU is killed.
func (m *Machine) Start(ctx context.Context) (*Process, error) {
	m, err := m.defaults()
	if err != nil {
		return nil, err
	}
	e, err := resolve(ctx, m.Binary, m.Accel)
	if err != nil {
		return nil, err
	}
	if err := noteBoot(m.Kernel); err != nil {
		return nil, err
	}
	return m.start(ctx, e)
}

// noteBoot adds a line to the file GOSHAWK_BOOTS, by which a run of tests can tell that it did start
// machines.
func noteBoot(name string) error {
	file := os.Getenv("GOSHAWK_BOOTS")
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("GOSHAWK_BOOTS: %w", err)
	}
	_, err = io.WriteString(f, name+"\n")
	return errors.Join(err, f.Close())
}

// start is Start for a machine with its defaults and a resolved accelerator.
func (m *Machine) start(ctx context.Context, e engine) (*Process, error) {
	if err := m.checkFiles(); err != nil {
		return nil, err
	}
	m.wall = time.Now()
	args, err := m.arguments(e)
	if err != nil {
		return nil, err
	}
	if m.Verbose != nil {
		line, err := shellLine(args)
		if err != nil {
			return nil, err
		}
		m.Verbose(line)
	}
	p := &Process{messages: &tail{size: 4096, next: m.Messages}, reports: &reports{listening: m.Listening}, drained: make(chan struct{})}
	p.ctx, p.giveUp = context.WithCancelCause(ctx)
	p.cancel = func() { p.giveUp(nil) }
	if m.Timeout > 0 {
		alarm := time.AfterFunc(m.Timeout, func() { p.giveUp(fmt.Errorf("%w within %v", ErrTimeout, m.Timeout)) })
		p.cancel = func() { alarm.Stop(); p.giveUp(nil) }
	}
	p.cmd = exec.CommandContext(p.ctx, args[0], args[1:]...)
	p.cmd.SysProcAttr = processAttributes()
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.WaitDelay = 10 * time.Second // for a child of QEMU that keeps the pipes open
	// Not the writer itself: were it a file, QEMU would make it non-blocking for all who share it.
	p.cmd.Stdout = struct{ io.Writer }{m.output()}
	p.cmd.Stderr = &stopWatch{messages: p.messages, stopped: func() {
		p.giveUp(fmt.Errorf("%w: KVM cannot execute this guest, TCG can (-accel tcg)", ErrNoStatus))
	}}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		p.cancel()
		return nil, err
	}
	statusR, statusW, err := os.Pipe()
	if err != nil {
		p.cancel()
		return nil, err
	}
	p.cmd.ExtraFiles = []*os.File{statusW} // becomes statusFD
	err = p.cmd.Start()
	statusW.Close()
	if err != nil {
		statusR.Close()
		p.cancel()
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	go func() {
		defer close(p.drained)
		defer statusR.Close()
		io.Copy(p.reports, statusR) // a failure shows as a missing status
	}()
	p.feeder = newFeeder(stdin, m.RawCommandLine == "")
	p.feeder.start(m.Input)
	return p, nil
}

func (m *Machine) output() io.Writer {
	if m.Output == nil {
		return io.Discard
	}
	return m.Output
}

// checkFiles finds what would make QEMU give up, and says it better.
func (m *Machine) checkFiles() error {
	for _, name := range []string{m.Kernel, m.Module} {
		if name == "" {
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		file.Close()
	}
	if err := m.checkHost(); err != nil {
		return err
	}
	for _, d := range m.Disks {
		if err := d.make(); err != nil {
			return err
		}
	}
	if m.GDB != "" {
		l, err := net.Listen("tcp", m.GDB)
		if err != nil {
			return fmt.Errorf("no place for gdb: %w; choose another port", err)
		}
		l.Close()
	}
	return nil
}

// Interrupt sends the guest's program a SIGINT. It does not wait until it arrives.
func (p *Process) Interrupt() { p.feeder.interrupt() }

// Kill ends the machine at once. Wait returns soon after.
func (p *Process) Kill() { p.cancel() }

// Wait waits until the machine has stopped and returns the exit status that the guest reported.
// Without one the error is, or wraps, ErrTimeout, ErrNoStatus, or the error of Start's context.
func (p *Process) Wait() (status int, err error) {
	err = p.cmd.Wait()
	p.feeder.close()
	cause := context.Cause(p.ctx)
	p.cancel()
	<-p.drained
	switch text, ok := p.reports.status(); {
	case ok:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 255 {
			return 0, fmt.Errorf("the guest reported an exit status that is none: %q", text)
		}
		return n, nil
	case cause != nil:
		return 0, cause
	case err != nil:
		return 0, p.failure(err)
	}
	return 0, ErrNoStatus
}

// failure is the error for a QEMU that ended with err, in one line with QEMU's own messages.
func (p *Process) failure(err error) error {
	name := filepath.Base(p.cmd.Path)
	var said []string
	for line := range strings.Lines(p.messages.String()) {
		line = strings.TrimSpace(line)
		line = strings.TrimPrefix(line, name+": ")
		if line != "" && !strings.HasPrefix(line, "warning: ") {
			said = append(said, line)
		}
	}
	exit, ok := err.(*exec.ExitError)
	switch {
	case !ok:
		return fmt.Errorf("%w: %w", ErrNoStatus, err)
	case len(said) == 0:
		return fmt.Errorf("%w (QEMU: %v)", ErrNoStatus, exit)
	}
	if strings.Contains(said[0], "backend 'user' is not compiled") {
		said = append(said, "use another way into the network, or none")
	}
	return fmt.Errorf("%w (QEMU: %v: %s)", ErrNoStatus, exit, strings.Join(said, "; "))
}

// A stopWatch passes on QEMU's messages and looks for the one after which a machine stands still for
// ever, without an end of QEMU.
type stopWatch struct {
	messages *tail
	stopped  func()
}

func (s *stopWatch) Write(b []byte) (int, error) {
	n, err := s.messages.Write(b)
	if strings.Contains(s.messages.String(), "KVM internal error") {
		s.stopped()
	}
	return n, err
}
