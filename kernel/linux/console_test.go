//go:build !goshawk

package linux

import (
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// bareKernel has a console that is a terminal.
func bareKernel(t *testing.T) *kernel {
	k := goshawkKernel(t)
	resetProcess()
	console = terminal{}
	Start(vfs.New(tmpfs.New(tmpfs.Options{})), false)
	return k
}

func (k *kernel) input(s string) { console.feed([]byte(s)) }

// line reads from standard input.
func (k *kernel) line() string {
	b := make([]byte, 100)
	n, err := k.quiet(syscall.SYS_READ, 0, b, len(b))
	require.Zero(k.t, err)
	return string(b[:n])
}

func output() string {
	host.mu.Lock()
	defer host.mu.Unlock()
	s := string(host.output)
	host.output = nil
	return s
}

func TestConsoleFramed(t *testing.T) {
	k := goshawkKernel(t)
	k.input("a\x10\x10b\r\n\x03")
	assert.Equal(t, "a\x10b\r\n\x03", k.line())
	assert.Empty(t, output(), "no echo")
	n, _ := k.quiet(syscall.SYS_WRITE, 1, []byte("x\ny\n"), 4)
	assert.Equal(t, 4, n)
	k.quiet(syscall.SYS_WRITE, 2, []byte("z"), 1)
	assert.Equal(t, "x\ny\nz", output())
	k.input("\x10")
	k.input("i")
	assert.Equal(t, []hostSignal{{0, int(syscall.SIGINT)}}, host.signals)
	_, err := k.quiet(syscall.SYS_IOCTL, 0, syscall.TCGETS, make([]byte, 64))
	assert.Equal(t, syscall.ENOTTY, err)
	st := new(syscall.Stat_t)
	k.quiet(syscall.SYS_FSTAT, 0, unsafe.Pointer(st))
	assert.Equal(t, uint32(syscall.S_IFIFO), st.Mode&syscall.S_IFMT)
	k.input("last\x10e")
	assert.Equal(t, "last", k.line())
	assert.Equal(t, "", k.line())
	assert.Equal(t, "", k.line(), "the end of a file lasts")
}

// Input counts from the first start code on; what came before may have been lost in part.
func TestConsoleStart(t *testing.T) {
	k := goshawkKernel(t)
	files := space()
	console = terminal{}
	resetProcess()
	Start(files, true)
	k.input("lost\x10")
	k.input("e lost\x10s\x10skept")
	assert.Equal(t, "kept", k.line())
}

// A blocked read is woken by input; a non-blocking one says EAGAIN.
func TestConsoleWaits(t *testing.T) {
	k := goshawkKernel(t)
	got := make(chan string)
	go func() { got <- k.line() }()
	k.input("hello")
	assert.Equal(t, "hello", <-got)
	k.quiet(syscall.SYS_FCNTL, 0, syscall.F_SETFL, syscall.O_NONBLOCK)
	_, err := k.quiet(syscall.SYS_READ, 0, make([]byte, 1), 1)
	assert.Equal(t, syscall.EAGAIN, err)
}

// Input that nobody reads is held back in the device, and none is lost.
func TestConsoleBackpressure(t *testing.T) {
	k := goshawkKernel(t)
	const chunk, chunks = 1000, 200
	var feeder sync.WaitGroup
	feeder.Go(func() {
		b := make([]byte, chunk)
		for range chunks {
			console.feed(b)
		}
	})
	total := 0
	for total < chunk*chunks {
		b := make([]byte, 4096)
		n, err := k.quiet(syscall.SYS_READ, 0, b, len(b))
		require.Zero(t, err)
		total += n
		require.LessOrEqual(t, console.pending(), inputLimit+chunk)
	}
	feeder.Wait()
}

func TestConsoleTerminal(t *testing.T) {
	k := bareKernel(t)
	k.input("helo\x7flo\r")
	assert.Equal(t, "hello\n", k.line())
	assert.Equal(t, "helo\b \blo\r\n", output())
	k.input("one\rtwo\r")
	assert.Equal(t, "one\n", k.line(), "a read returns one line")
	assert.Equal(t, "two\n", k.line())
	k.input("unsent\x15sent\x04")
	assert.Equal(t, "sent", k.line(), "end of file after text ends the line")
	k.input("\x04")
	assert.Equal(t, "", k.line())
	k.input("again\r")
	assert.Equal(t, "again\n", k.line(), "a terminal's end of file does not last")
	k.input("two words\x17x\r")
	assert.Equal(t, "two x\n", k.line())
	k.input("gr\xc3\xbc\x7fue\r")
	assert.Equal(t, "grue\n", k.line(), "erases a whole character")
	output()
	k.input("lost\x03")
	assert.Equal(t, "lost^C\r\n", output())
	k.input("\x1c")
	assert.Equal(t, []hostSignal{{0, int(syscall.SIGINT)}, {0, int(syscall.SIGQUIT)}}, host.signals)
	output()
	k.quiet(syscall.SYS_WRITE, 1, []byte("\na\n\nb"), 5)
	assert.Equal(t, "\r\na\r\n\r\nb", output())

	tio := new(kernelTermios)
	_, err := k.quiet(syscall.SYS_IOCTL, 0, syscall.TCGETS, unsafe.Pointer(tio))
	require.Zero(t, err)
	ws := new(winsize)
	_, err = k.quiet(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, unsafe.Pointer(ws))
	require.Zero(t, err)
	assert.Equal(t, winsize{rows: 24, columns: 80}, *ws)
	_, err = k.quiet(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, nil)
	assert.Equal(t, syscall.EFAULT, err)

	// Raw mode, as golang.org/x/term sets it.
	tio.Iflag &^= syscall.ICRNL
	tio.Oflag &^= syscall.OPOST
	tio.Lflag &^= syscall.ECHO | syscall.ICANON | syscall.ISIG
	k.input("par")
	require.Zero(t, pollOpen(0, 1, 2))
	host.polls = nil
	_, err = k.quiet(syscall.SYS_IOCTL, 0, syscall.TCSETS, unsafe.Pointer(tio))
	require.Zero(t, err)
	output()
	assert.Equal(t, "par", k.line(), "what was typed when raw mode began")
	assert.Equal(t, []hostPoll{{1, 2, 'r'}}, host.polls)
	k.input("\x03\r\x04")
	assert.Equal(t, "\x03\r\x04", k.line())
	k.quiet(syscall.SYS_WRITE, 1, []byte("\n"), 1)
	assert.Equal(t, "\n", output())
}
