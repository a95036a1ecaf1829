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
	var ticks []plugin.Mark
	for i := range 7 {
		ticks = append(ticks, plugin.Mark{Instructions: uint64(i * i), Time: start.Add(time.Duration(i) * time.Second)})
	}
	rate, err := idleRate(start, ticks, 2*time.Second, 3*time.Second)
	require.NoError(t, err)
	assert.Equal(t, float64(25-4)/3, rate)
	_, err = idleRate(start, ticks, 2*time.Second, 5*time.Second)
	assert.ErrorContains(t, err, "not idle for 5s")
}

func TestWrk(t *testing.T) {
	got, err := parseWrk(`Running 1s test @ http://127.0.0.1:18080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms  500.00us  20.10ms   90.00%
    Req/Sec    10.00k     1.00k   12.00k    70.00%
  Latency Distribution
     50%  950.00us
     75%    1.50ms
     90%    2.00ms
     99%    1.05s
  10000 requests in 1.00s, 6.00MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
Requests/sec:   9990.50
Transfer/sec:      6.00MB
`)
	require.NoError(t, err)
	assert.Equal(t, load{requests: 10000, perSecond: 9990.5, p50: 950 * time.Microsecond, p99: 1050 * time.Millisecond,
		errors: "Socket errors: connect 0, read 1, write 0, timeout 2"}, got)
	_, err = parseWrk("unable to connect")
	assert.ErrorContains(t, err, "unable to connect")
}

func TestEvents(t *testing.T) {
	var e events
	for _, part := range []string{
		"virtio_notify vdev 0x1\ninsn begin 10 1000\nvirtio_not", "ify vdev 0x1\nvirtio_queue_notify vdev 0x1 n 0 vq 0x2\n",
		"memory_region_ops_write cpu 0 mr 0x1 addr 0xfeb00050 value 0x1 size 4 name 'virtio-mmio'\nqemu: a message\n",
		"insn tick 15 1500\ninsn finish 20 2000\nvirtio_notify vdev 0x1\n",
	} {
		e.Write([]byte(part))
	}
	assert.Equal(t, map[string]int{"virtio_notify": 1, "virtio_queue_notify": 1, "memory_region_ops_write": 1, "name 'virtio-mmio'": 1}, e.counts)
	m, err := e.mark(markEnd)
	require.NoError(t, err)
	assert.Equal(t, uint64(20), m.Instructions)
	assert.Len(t, e.ticks, 1)
	assert.Equal(t, "qemu: a message\n", e.messages.String())
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
