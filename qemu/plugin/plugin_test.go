package plugin

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/internal/stub"
)

// messages boots a stub with the plugin and returns the marks by name.
func marks(t *testing.T, image string, s Settings) map[string]Mark {
	t.Helper()
	p, err := Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	var messages bytes.Buffer
	options := append(p.Options(s), func(m *qemu.Machine) { m.Messages = &messages })
	r := qemu.Run(t, image, options...)
	require.NoError(t, r.Err, messages.String())
	found, err := Parse(messages.String())
	require.NoError(t, err)
	byName := make(map[string]Mark)
	for _, m := range found {
		byName[m.Name] = m
	}
	return byName
}

func TestCount(t *testing.T) {
	// mov $1000, %ecx; 1: dec %ecx; jnz 1b: 2001 instructions from loop to after.
	loop := []byte{0xb9, 0xe8, 0x03, 0, 0, 0xff, 0xc9, 0x75, 0xfc}
	entry, after := uint64(stub.Body), uint64(stub.Body+len(loop))
	image := stub.Write(t, loop, stub.Status(0))
	got := marks(t, image, Settings{Marks: map[string]uint64{"loop": entry, "after": after, "never": 1}})
	assert.EqualValues(t, 2001, got["after"].Instructions-got["loop"].Instructions)
	assert.NotContains(t, got, "never")
	assert.Greater(t, got["loop"].Instructions, uint64(20), "firmware and the stub's entry")
	assert.Greater(t, got["end"].Instructions, got["after"].Instructions)
	assert.WithinDuration(t, time.Now(), got["end"].Time, time.Minute)
	assert.False(t, got["after"].Time.Before(got["loop"].Time))
}

// TestBlocks: blocks count for their instructions, a repeated instruction once and as it goes on.
func TestBlocks(t *testing.T) {
	// mov $1000, %ecx; 1: dec %ecx; jnz 1b; mov $1000, %ecx; mov $0x8000, %edi; rep stosb.
	code := []byte{0xb9, 0xe8, 0x03, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xb9, 0xe8, 3, 0, 0, 0xbf, 0, 0x80, 0, 0, 0xf3, 0xaa}
	entry, after := uint64(stub.Body), uint64(stub.Body+len(code))
	image := stub.Write(t, code, stub.Status(0))
	got := marks(t, image, Settings{Marks: map[string]uint64{"code": entry, "after": after}, Blocks: true})
	assert.InDelta(t, 2004, got["after"].Instructions-got["code"].Instructions, 10, "and some of the blocks with the marks")
}

func TestProfile(t *testing.T) {
	// mov $1000, %ecx; mov $0x8000, %edi; rep stosb; 1: dec %eax; jnz 1b, with eax 3.
	code := []byte{0xb8, 3, 0, 0, 0, 0xb9, 0xe8, 3, 0, 0, 0xbf, 0, 0x80, 0, 0, 0xf3, 0xaa, 0xff, 0xc8, 0x75, 0xfc}
	entry, after := uint64(stub.Body), uint64(stub.Body+len(code))
	image := stub.Write(t, code, stub.Status(0))
	file := filepath.Join(t.TempDir(), "profile")
	got := marks(t, image, Settings{Marks: map[string]uint64{"code": entry, "after": after}, Profile: file})
	assert.EqualValues(t, 10, got["after"].Instructions-got["code"].Instructions)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	sections, err := ParseProfile(bytes.NewReader(text))
	require.NoError(t, err)
	require.Len(t, sections, 3)
	assert.Equal(t, Section{"after", map[uint64]uint64{
		entry: 1, entry + 5: 1, entry + 10: 1, entry + 15: 1, entry + 17: 3, entry + 19: 3,
	}}, sections[1])
	assert.Equal(t, "end", sections[2].Mark)
	_, err = ParseProfile(strings.NewReader("0x10\n"))
	assert.ErrorContains(t, err, "that is none")
}

func TestTiming(t *testing.T) {
	got := marks(t, stub.Write(t, stub.Status(0)), Settings{Marks: map[string]uint64{"body": stub.Body}, Timing: true})
	assert.Contains(t, got, "body")
	assert.Zero(t, got["end"].Instructions)
}

func TestParse(t *testing.T) {
	got, err := Parse("warning: x\ninsn main 12 1500000000\ninsn end 13 2000000000\n")
	require.NoError(t, err)
	assert.Equal(t, []Mark{{"main", 12, time.Unix(1, 5e8)}, {"end", 13, time.Unix(2, 0)}}, got)
	_, err = Parse("insn main\n")
	assert.ErrorContains(t, err, "that is none")
}
