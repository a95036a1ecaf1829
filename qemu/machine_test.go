package qemu

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"1": MiB, "64M": 64 * MiB, "64MiB": 64 * MiB, "64mb": 64 * MiB, "2G": 2 * GiB, "2048K": 2 * MiB,
	} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		again, err := ParseSize(got.String())
		require.NoError(t, err)
		assert.Equal(t, want, again, text)
	}
	for _, text := range []string{"", "0", "M", "-1", "1T", "1.5G", "64 M", "99999999999G", "1MM", "1Bi"} {
		_, err := ParseSize(text)
		assert.ErrorContains(t, err, "is not a size", text)
	}
}

func TestArguments(t *testing.T) {
	const tail = "-nodefaults -no-user-config -no-reboot -display none -chardev stdio,id=console,signal=off" +
		" -serial chardev:console -chardev file,id=status,path=/dev/fd/3" +
		" -device isa-debugcon,iobase=0xe9,chardev=status -kernel hello.elf -append "
	const modern = " -global virtio-mmio.force-legacy=off"
	cases := map[string]struct {
		options []Option
		engine  engine
		want    string
	}{
		"microvm by default": {
			nil, tcgEngine,
			"-machine microvm,rtc=on,pit=on,pic=off,isa-serial=on -accel tcg -cpu max -smp 1 -m 256M " + tail + "console=framed" + modern,
		},
		"q35 under KVM": {
			[]Option{On(Q35), CPUs(4), Memory(8 * GiB)}, engine{KVM, "host"},
			"-machine q35,sata=off,smbus=off -accel kvm -cpu host -smp 4 -m 8192M " + tail + "console=framed",
		},
		"pc with arguments and a module": {
			[]Option{
				On(PC), Args("a b", "-c"), Env("K=V W", "X="), Dir("/d"), Module("/a,b.tar", "/d"),
				Extra("-d", "int"),
			}, tcgEngine,
			"-machine pc -accel tcg -cpu max -smp 1 -m 256M " + tail +
				"console=framed env=K=V%20W env=X= cwd=/d tar=/d -- a%20b -c -initrd /a,b.tar -d int",
		},
		"gdb": {
			[]Option{func(m *Machine) { m.GDB = "127.0.0.1:1234" }}, tcgEngine,
			"-machine microvm,rtc=on,pit=on,pic=off,isa-serial=on -accel tcg -cpu max -smp 1 -m 256M " + tail +
				"console=framed" + modern + " -S -gdb tcp:127.0.0.1:1234",
		},
		"another kernel": {
			[]Option{RawCommandLine("console=ttyS0 quiet"), Args("unused")}, tcgEngine,
			"-machine microvm,rtc=on,pit=on,pic=off,isa-serial=on -accel tcg -cpu max -smp 1 -m 256M " + tail + "console=ttyS0 quiet" + modern,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := New("hello.elf", c.options...)
			m.Binary = "qemu"
			m, err := m.defaults()
			require.NoError(t, err)
			args, err := m.arguments(c.engine)
			require.NoError(t, err)
			assert.Equal(t, "qemu "+c.want, strings.Join(args, " "))
		})
	}
}

func TestBadMachine(t *testing.T) {
	for want, option := range map[string]Option{
		`unknown machine "vax": choose microvm, q35 or pc`:   On("vax"),
		`unknown accelerator "hax": choose auto, kvm or tcg`: Using("hax"),
		"9 CPUs: choose 1 to 8":                              CPUs(9),
		"-1 CPUs: choose 1 to 8":                             CPUs(-1),
		"a whole number of MiB":                              Memory(KiB),
		`"=x" is not of the form NAME=VALUE`:                 Env("=x"),
		"QEMU is missing":                                    func(*Machine) { t.Setenv("GOSHAWK_QEMU", "/no/such/qemu") },
	} {
		_, err := New("hello.elf", option).Start(t.Context())
		assert.ErrorContains(t, err, want)
		t.Setenv("GOSHAWK_QEMU", "")
	}
}

func TestCommandLineTooLong(t *testing.T) {
	m := New("hello.elf", Args(strings.Repeat("x", 4096)))
	m.Binary = "qemu"
	_, err := m.arguments(tcgEngine)
	assert.ErrorContains(t, err, "4095")
}

func TestShellLine(t *testing.T) {
	line, err := shellLine([]string{"/usr/bin/qemu", "-m", "64M", "-append", "a b'c", ""})
	require.NoError(t, err)
	assert.Equal(t, `/usr/bin/qemu -m 64M -append "a b'c" '' 3>&2`, line)
	_, err = shellLine([]string{"\x00"})
	assert.Error(t, err)
}
