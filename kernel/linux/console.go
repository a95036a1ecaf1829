package linux

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Console input arrives framed from goshawk run, or bare from a terminal (docs/design.md section 8).
const (
	frameEscape    = 0x10 // begins a frame code, and stands for itself if doubled
	frameStart     = 's'
	frameEnd       = 'e'
	frameInterrupt = 'i'

	// inputLimit is how much input waits for the program before the rest waits in the device.
	inputLimit = 64 << 10
)

// Characters of the line discipline.
const (
	charInterrupt = 'C' - '@'
	charEnd       = 'D' - '@'
	charBackspace = 'H' - '@'
	charKill      = 'U' - '@'
	charWord      = 'W' - '@'
	charQuit      = '\\' - '@'
	charDelete    = 0x7f
)

// terminal is the console: descriptors 0, 1 and 2.
type terminal struct {
	framed  bool
	started bool

	mu      sync.Mutex
	room    *sync.Cond // input has been read
	termios syscall.Termios
	input   []byte // what a read gets
	ends    []int  // where reads of input end: lines, or ends of file if nothing is before them
	line    []byte // the line being typed
	begun   bool   // the first start code of framed input has come; the device may have lost what was before
	closed  bool   // framed input has ended
	escaped bool   // the last byte was frameEscape

	output   sync.Mutex
	watchers waitQueue
}

var console terminal

// open opens descriptors 0, 1 and 2 and starts to receive.
func (t *terminal) open(framed bool) {
	t.framed = framed
	t.room = sync.NewCond(&t.mu)
	t.termios = syscall.Termios{
		Iflag: syscall.ICRNL | syscall.IXON,
		Oflag: syscall.OPOST | syscall.ONLCR,
		Cflag: syscall.CS8 | syscall.CREAD | syscall.B38400,
		Lflag: syscall.ISIG | syscall.ICANON | syscall.ECHO | syscall.ECHOE | syscall.ECHOK | syscall.ECHOCTL | syscall.ECHOKE | syscall.IEXTEN,
	}
	cc := &t.termios.Cc
	cc[syscall.VINTR], cc[syscall.VQUIT], cc[syscall.VERASE] = charInterrupt, charQuit, charDelete
	cc[syscall.VKILL], cc[syscall.VEOF], cc[syscall.VMIN], cc[syscall.VWERASE] = charKill, charEnd, 1, charWord
	mode := t.Stat().Mode
	for range 3 {
		process.install(vfs.NewFile(&terminalFile{t}, syscall.O_RDWR, mode, "/dev/console"), 0)
	}
	if !t.started {
		t.started = true
		go t.receive()
	}
}

// receive serves the console's interrupt line.
func (t *terminal) receive() {
	buf := make([]byte, 256)
	for {
		n := consoleRead(buf)
		if n == 0 {
			consoleWait()
			continue
		}
		t.feed(buf[:n])
	}
}

// feed takes in received bytes, once there is room for them.
func (t *terminal) feed(b []byte) {
	t.mu.Lock()
	for len(t.input) >= inputLimit {
		t.room.Wait()
	}
	had := len(t.input) + len(t.ends)
	for _, c := range b {
		if t.framed {
			t.feedFramed(c)
		} else {
			t.feedTyped(c)
		}
	}
	arrived := len(t.input)+len(t.ends) > had || t.closed
	t.mu.Unlock()
	if arrived {
		t.watchers.fire(readable | readNorm)
	}
}

func (t *terminal) feedFramed(c byte) {
	if !t.escaped {
		if c == frameEscape {
			t.escaped = true
		} else if t.begun {
			t.input = append(t.input, c)
		}
		return
	}
	t.escaped = false
	if !t.begun {
		t.begun = c == frameStart
		t.escaped = c == frameEscape
		return
	}
	switch c {
	case frameEscape:
		t.input = append(t.input, c)
	case frameEnd:
		t.closed = true
	case frameInterrupt:
		interrupt(syscall.SIGINT)
	}
}

// feedTyped is the line discipline of a terminal (termios(3)).
func (t *terminal) feedTyped(c byte) {
	if c == '\r' && t.termios.Iflag&syscall.ICRNL != 0 {
		c = '\n'
	}
	if t.termios.Lflag&syscall.ISIG != 0 && (c == charInterrupt || c == charQuit) {
		t.echo('^', c+'@', '\n')
		t.line = t.line[:0]
		if c == charInterrupt {
			interrupt(syscall.SIGINT)
		} else {
			interrupt(syscall.SIGQUIT)
		}
		return
	}
	if t.termios.Lflag&syscall.ICANON == 0 {
		t.echo(c)
		t.input = append(t.input, c)
		return
	}
	switch c {
	case '\n':
		t.echo(c)
		t.line = append(t.line, c)
		t.endLine()
	case charEnd:
		t.endLine()
	case charBackspace, charDelete:
		t.erase()
	case charKill:
		for len(t.line) > 0 {
			t.erase()
		}
	case charWord:
		for len(t.line) > 0 && t.line[len(t.line)-1] == ' ' {
			t.erase()
		}
		for len(t.line) > 0 && t.line[len(t.line)-1] != ' ' {
			t.erase()
		}
	default:
		if c < ' ' && c != '\t' {
			t.echo('^', c+'@')
		} else {
			t.echo(c)
		}
		t.line = append(t.line, c)
	}
}

// endLine gives the typed line to the readers.
func (t *terminal) endLine() {
	t.input = append(t.input, t.line...)
	t.ends = append(t.ends, len(t.input))
	t.line = t.line[:0]
}

// erase takes back the last character typed, all bytes of its UTF-8 form.
func (t *terminal) erase() {
	n := len(t.line)
	if n == 0 {
		return
	}
	for n--; n > 0 && t.line[n]&0xc0 == 0x80; n-- {
	}
	width := 1
	if c := t.line[n]; c < ' ' && c != '\t' {
		width = 2 // echoed as ^X
	}
	t.line = t.line[:n]
	for range width {
		t.echo('\b', ' ', '\b')
	}
}

func (t *terminal) echo(b ...byte) {
	if t.termios.Lflag&syscall.ECHO != 0 {
		t.print(b, t.termios.Oflag)
	}
}

// print writes b to the device, each newline as carriage return and newline if the terminal's output
// flags say so.
func (t *terminal) print(b []byte, oflag uint32) {
	t.output.Lock()
	defer t.output.Unlock()
	if t.framed || oflag&syscall.OPOST == 0 || oflag&syscall.ONLCR == 0 {
		consoleWrite(b)
		return
	}
	from := 0
	for i, c := range b {
		if c == '\n' {
			consoleWrite(b[from:i])
			consoleWrite(newline)
			from = i + 1
		}
	}
	consoleWrite(b[from:])
}

var newline = []byte("\r\n")

func (t *terminal) tryWrite(p []byte) (int, syscall.Errno) {
	t.mu.Lock()
	oflag := t.termios.Oflag
	t.mu.Unlock()
	t.print(p, oflag)
	return len(p), 0
}

func (t *terminal) tryRead(p []byte) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.input) == 0 && len(t.ends) == 0 {
		if t.closed {
			return 0, 0
		}
		return 0, syscall.EAGAIN
	}
	n := len(t.input)
	if len(t.ends) > 0 {
		n = t.ends[0]
	}
	n = copy(p, t.input[:n])
	t.input = t.input[n:]
	for i := range t.ends {
		t.ends[i] -= n
	}
	if len(t.ends) > 0 && t.ends[0] == 0 {
		t.ends = t.ends[1:]
	}
	t.room.Signal()
	return n, 0
}

func (t *terminal) ready() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.input) > 0 || len(t.ends) > 0 || t.closed {
		return readable | readNorm | writable | writeNorm
	}
	return writable | writeNorm
}

func (t *terminal) queue() *waitQueue { return &t.watchers }

// terminalFile is an open file of the terminal.
type terminalFile struct{ *terminal }

func (t *terminalFile) Read(p []byte, flags int) (int, error)  { return readWaiting(t, p, flags) }
func (t *terminalFile) Write(p []byte, flags int) (int, error) { return writeWaiting(t, p, flags) }

func (t *terminalFile) Close() error {
	forget(t)
	return nil
}

// Reopen opens the terminal again through /proc/self/fd.
func (t *terminalFile) Reopen(int) (vfs.Handle, error) { return &terminalFile{t.terminal}, nil }

// consoleDevice is the device number of /dev/console.
const consoleDevice = 5<<8 | 1

// Stat shows a pipe where input is framed: what is at the other end is not a terminal.
func (t *terminal) Stat() vfs.Stat {
	st := vfs.Stat{Mode: syscall.S_IFIFO | 0o600, Nlink: 1, Blksize: 1024}
	if !t.framed {
		st.Mode, st.Rdev = syscall.S_IFCHR|0o620, consoleDevice
	}
	return st
}

// winsize is struct winsize.
type winsize struct{ rows, columns, xPixels, yPixels uint16 }

// kernelTermios is struct termios of Linux's ioctls, which has fewer characters and no speeds.
type kernelTermios struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Line                       uint8
	Cc                         [19]uint8
}

// Ioctl answers the terminal's requests (ioctl_tty(2)).
func (t *terminal) Ioctl(request uint, arg unsafe.Pointer) error {
	switch request {
	case syscall.TCGETS, syscall.TCSETS, syscall.TCSETS + 1, syscall.TCSETS + 2, syscall.TIOCGWINSZ,
		syscall.TIOCSWINSZ, syscall.TIOCGPGRP, syscall.TIOCSPGRP:
		if t.framed {
			return syscall.ENOTTY
		}
		if arg == nil {
			return syscall.EFAULT
		}
	default:
		return syscall.ENOTTY
	}
	t.mu.Lock()
	typed := len(t.line) > 0
	t.control(request, arg)
	typed = typed && len(t.line) == 0
	t.mu.Unlock()
	if typed {
		t.watchers.fire(readable | readNorm)
	}
	return nil
}

// control carries out a request that Ioctl has checked, with t locked.
func (t *terminal) control(request uint, arg unsafe.Pointer) {
	s := &t.termios
	switch request {
	case syscall.TCGETS:
		k := kernelTermios{Iflag: s.Iflag, Oflag: s.Oflag, Cflag: s.Cflag, Lflag: s.Lflag, Line: s.Line}
		copy(k.Cc[:], s.Cc[:])
		*(*kernelTermios)(arg) = k
	case syscall.TIOCGWINSZ:
		*(*winsize)(arg) = winsize{rows: 24, columns: 80}
	case syscall.TIOCGPGRP:
		*(*int32)(arg) = pid
	case syscall.TIOCSWINSZ, syscall.TIOCSPGRP:
	default: // TCSETS, TCSETSW, TCSETSF
		k := *(*kernelTermios)(arg)
		s.Iflag, s.Oflag, s.Cflag, s.Lflag, s.Line = k.Iflag, k.Oflag, k.Cflag, k.Lflag, k.Line
		copy(s.Cc[:], k.Cc[:])
		if s.Lflag&syscall.ICANON == 0 {
			t.endLine() // what was typed so far is read as it is
			t.ends = nil
		}
	}
}

// pending returns the number of bytes that can be read (FIONREAD).
func (t *terminal) pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.input)
}
