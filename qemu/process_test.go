package qemu

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/boot/image"
	"github.com/goshawk-os/goshawk/qemu/internal/stub"
)

func TestStubIsAnImage(t *testing.T) {
	info, err := image.Inspect(stub.Write(t))
	require.NoError(t, err)
	assert.EqualValues(t, stub.Base, info.Entry)
}

func TestRun(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			r := Run(t, stub.Write(t, stub.Say("hi\n"), stub.Status(7)), On(kind), Using(TCG))
			require.NoError(t, r.Err)
			assert.Equal(t, "hi\n", r.Console)
			assert.Equal(t, 7, r.Status)
		})
	}
}

func TestNoStatus(t *testing.T) {
	r := Run(t, stub.Write(t, stub.Say("hi")), Using(TCG))
	assert.ErrorIs(t, r.Err, ErrNoStatus)
	assert.Equal(t, "hi", r.Console)
}

func TestStatusThatIsNone(t *testing.T) {
	for _, text := range []string{"x\n", "256\n", "-1\n", "\n"} {
		r := Run(t, stub.Write(t, stub.Out(0xe9, text)), Using(TCG))
		assert.ErrorContains(t, r.Err, "exit status that is none")
	}
}

func TestTimeout(t *testing.T) {
	r := Run(t, stub.Write(t, stub.Say("hi"), stub.Hang), Using(TCG), Timeout(300*time.Millisecond))
	assert.ErrorIs(t, r.Err, ErrTimeout)
	assert.EqualError(t, r.Err, "the machine did not stop within 300ms")
	assert.Equal(t, "hi", r.Console)
	assert.Less(t, r.Elapsed, 10*time.Second)
}

func TestKill(t *testing.T) {
	seen := make(writer, 1)
	m := New(stub.Write(t, stub.Say("x"), stub.Hang), Using(TCG))
	m.Output = seen
	p, err := m.Start(t.Context())
	require.NoError(t, err)
	<-seen
	p.Kill()
	_, err = p.Wait()
	assert.ErrorIs(t, err, context.Canceled)
}

// writer passes on what is written to it.
type writer chan string

func (w writer) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestInput(t *testing.T) {
	var text bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&text, "%d \x10 %c ", i, i)
	}
	file := stub.Write(t, stub.Echo, stub.Status(0))
	for _, kind := range Kinds {
		r := Run(t, file, On(kind), Using(TCG), Input(bytes.NewReader(text.Bytes())))
		require.NoError(t, r.Err)
		assert.True(t, r.Console == text.String(), "%d bytes went in, %d came back", text.Len(), len(r.Console))
	}
	r := Run(t, file, Using(TCG))
	require.NoError(t, r.Err)
	assert.Empty(t, r.Console)
}

func TestInterrupt(t *testing.T) {
	in, typed := io.Pipe()
	seen := make(writer, 64)
	m := New(stub.Write(t, stub.Echo, stub.Status(3)), Using(TCG), Input(in), Timeout(time.Minute))
	m.Output = seen
	p, err := m.Start(t.Context())
	require.NoError(t, err)
	io.WriteString(typed, "a")
	require.Equal(t, "a", <-seen)
	p.Interrupt()
	require.Equal(t, "^", <-seen)
	typed.Close()
	status, err := p.Wait()
	require.NoError(t, err)
	assert.Equal(t, 3, status)
}

func TestGDBPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	m := New(stub.Write(t), Using(TCG))
	m.GDB = l.Addr().String()
	_, err = m.Start(t.Context())
	assert.ErrorContains(t, err, "address already in use; choose another port")
}

func TestMissingFiles(t *testing.T) {
	_, err := New("/no/such/image", Using(TCG)).Start(t.Context())
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = New(stub.Write(t), Using(TCG), Module("/no/such/tar", "/")).Start(t.Context())
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestQEMUFails(t *testing.T) {
	r := Run(t, stub.Write(t), Using(TCG), Extra("-device", "nonsense"))
	assert.ErrorIs(t, r.Err, ErrNoStatus)
	assert.ErrorContains(t, r.Err, "nonsense")
	assert.NotContains(t, r.Err.Error(), "\n")
}

// TestAuto runs under whatever the probe finds, and where it finds KVM under that by name too.
func TestAuto(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	file := stub.Write(t, stub.Say("hi"), stub.Status(0))
	require.NoError(t, Run(t, file, Using(Auto)).Err)

	binary, err := Find()
	require.NoError(t, err)
	model, probeErr := ProbeKVM(t.Context(), binary)
	t.Logf("KVM: %q, %v", model, probeErr)
	m := New(file, Using(KVM))
	p, err := m.Start(t.Context())
	if probeErr != nil {
		assert.ErrorContains(t, err, "KVM does not work here")
		return
	}
	require.NoError(t, err)
	_, err = p.Wait()
	assert.NoError(t, err)

	clear(probeKnown)
	text, err := os.ReadFile(probeFile(binary))
	require.NoError(t, err)
	assert.Contains(t, string(text), model)
	again, err := ProbeKVM(t.Context(), binary)
	require.NoError(t, err)
	assert.Equal(t, model, again)
}

// failingTest records what Run does for a test that fails.
type failingTest struct {
	*testing.T
	cleanups []func()
	log      strings.Builder
}

func (f *failingTest) Failed() bool                    { return true }
func (f *failingTest) Cleanup(c func())                { f.cleanups = append(f.cleanups, c) }
func (f *failingTest) Logf(format string, args ...any) { fmt.Fprintf(&f.log, format+"\n", args...) }

func TestLogIsKept(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GOSHAWK_LOGS", filepath.Join(dir, "logs"))
	t.Setenv("GOSHAWK_BOOTS", filepath.Join(dir, "boots"))
	f := &failingTest{T: t}
	kernel := stub.Write(t, stub.Say("last words"), stub.Status(1))
	Run(f, kernel, Using(TCG))
	for _, c := range f.cleanups {
		c()
	}
	assert.Contains(t, f.log.String(), "last words")
	logs, err := filepath.Glob(filepath.Join(dir, "logs", "TestLogIsKept-*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	text, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	assert.Contains(t, string(text), "qemu-system-x86_64 -machine 'microvm,")
	assert.Contains(t, string(text), "last words")
	boots, err := os.ReadFile(filepath.Join(dir, "boots"))
	require.NoError(t, err)
	assert.Equal(t, kernel+"\n", string(boots))
}

// TestKVMGivesUp has a QEMU that stands still after the message, as the real one does.
func TestKVMGivesUp(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "qemu")
	script := "#!/bin/sh\necho 'KVM internal error. Suberror: 1' >&2\nexec sleep 1000\n"
	require.NoError(t, os.WriteFile(binary, []byte(script), 0o777))
	r := Run(t, stub.Write(t), Using(TCG), func(m *Machine) { m.Binary = binary })
	assert.ErrorIs(t, r.Err, ErrNoStatus)
	assert.ErrorContains(t, r.Err, "-accel tcg")
	assert.Less(t, r.Elapsed, RunTimeout)
}
