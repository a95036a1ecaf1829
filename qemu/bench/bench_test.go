//go:build linux && amd64

package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu/plugin"
)

func TestTable(t *testing.T) {
	goshawk, linux := &guest{system: "Goshawk"}, &guest{system: "Linux"}
	tab := table{title: "subject"}
	for _, v := range []float64{30, 10, 20} {
		tab.row("slow", "µs", "").add(goshawk, v)
		tab.row("slow", "µs", "").add(linux, v/2)
		tab.row("fast", "MiB/s", "≥ 1").add(goshawk, v*1e5)
		tab.row("fast", "MiB/s", "≥ 1").add(linux, v)
	}
	tab.row("idle", "instructions/s", "").add(goshawk, 100)
	tab.row("idle", "instructions/s", "").add(linux, 101)
	tab.row("alone", "MiB", "").add(goshawk, 0.5)
	var b strings.Builder
	tab.print(&b)
	assert.Equal(t, `
| subject | unit           |               Goshawk |   Linux | Goshawk is       | goal |
| ---     | ---            |                   --: |     --: | ---              | ---  |
| slow    | µs             |               20 (10) |  10 (5) | **2 × worse**    |      |
| fast    | MiB/s          | 2,000,000 (3,000,000) | 20 (30) | 100,000 × better | ≥ 1  |
| idle    | instructions/s |                   100 |     101 | same             |      |
| alone   | MiB            |                   0.5 |         |                  |      |
`, b.String())
}

func TestSuiteOutput(t *testing.T) {
	var tab table
	g := &guest{system: "Linux"}
	require.NoError(t, tab.addSuite(g, &record{output: "gc-pause 3.5 µs\nmmap 1e+03 MiB/s\ndone\n"}))
	assert.Equal(t, []float64{3.5}, tab.row("gc-pause", "µs", "").values["Linux"])
	assert.True(t, tab.row("mmap", "MiB/s", "").higher)
	assert.ErrorContains(t, tab.addSuite(g, &record{output: "a message\ndone\n"}), `Linux printed "a message\n"`)
}

func TestIdleRate(t *testing.T) {
	start := time.Unix(100, 0)
	r := &record{marks: map[string]plugin.Mark{markMain: {Time: start}}}
	for i := range 7 {
		r.ticks = append(r.ticks, plugin.Mark{Instructions: uint64(i * i), Time: start.Add(time.Duration(i) * time.Second)})
	}
	rate, err := idleRate(r, 2*time.Second, 3*time.Second)
	require.NoError(t, err)
	assert.Equal(t, float64(25-4)/3, rate)
	_, err = idleRate(r, 2*time.Second, 5*time.Second)
	assert.ErrorContains(t, err, "not idle for 5s")
}

func TestExtractKernel(t *testing.T) {
	kernel := bytes.Repeat([]byte("vmlinux "), 1<<18)
	var packed bytes.Buffer
	w := lz4.NewWriter(&packed)
	require.NoError(t, w.Apply(lz4.LegacyOption(true)))
	_, err := w.Write(kernel)
	require.NoError(t, err)
	require.NoError(t, w.Close())

	image := func(payload []byte) []byte {
		b := make([]byte, 2*512+16)
		b[0x1f1] = 1 // one sector of setup code behind the boot sector
		copy(b[0x202:], "HdrS")
		binary.LittleEndian.PutUint32(b[0x248:], 16)
		binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload))+4)
		b = append(b, payload...)
		return binary.LittleEndian.AppendUint32(b, uint32(len(kernel)))
	}
	good := image(packed.Bytes())
	got, err := extractKernel(good)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(kernel, got))

	_, err = extractKernel(good[:600])
	assert.ErrorContains(t, err, "truncated")
	_, err = extractKernel([]byte("MZ"))
	assert.ErrorContains(t, err, "no bzImage")
	_, err = extractKernel(image([]byte("\x28\xb5\x2f\xfd zstd")))
	assert.ErrorContains(t, err, "other than LZ4")
	damaged := bytes.Clone(good)
	binary.LittleEndian.PutUint32(damaged[len(damaged)-4:], 1)
	_, err = extractKernel(damaged)
	assert.ErrorContains(t, err, "not to 1")
}

func TestArchive(t *testing.T) {
	var a archive
	a.add("init", 0o100755, []byte("abcde"), 0, 0)
	a.add("dev/null", 0o020666, nil, 1, 3)
	assert.Zero(t, a.Len()%4)
	assert.Equal(t, "070701"+"00000001"+"000081ED"+"00000000"+"00000000"+"00000001"+"00000000"+"00000005"+
		"00000000"+"00000000"+"00000000"+"00000000"+"00000005"+"00000000"+"init\x00\x00abcde\x00\x00\x00",
		a.String()[:124])
	assert.Equal(t, "070701"+"00000002"+"000021B6"+"00000000"+"00000000"+"00000001"+"00000000"+"00000000"+
		"00000000"+"00000000"+"00000001"+"00000003"+"00000009"+"00000000"+"dev/null\x00\x00", a.String()[124:])
}
