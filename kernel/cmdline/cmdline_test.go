package cmdline

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// split returns the decoded options and arguments of a line.
func split(line string) (options, args []string) {
	for w := Parse(line); ; {
		word, arg, ok := w.Next()
		if !ok {
			return options, args
		}
		buf := make([]byte, len(word))
		s := string(buf[:Decode(buf, word)])
		if arg {
			args = append(args, s)
		} else {
			options = append(options, s)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	cases := []struct{ options, args []string }{
		{nil, nil},
		{[]string{"console=framed"}, nil},
		{[]string{"env=A=B C", "cwd=/tmp/x y"}, []string{"-run", "^Test$", "", "--", "50%", "%41", "%", "ä\n\x00\xff"}},
		{nil, []string{"virtio_mmio.device=1", "console=framed"}},
	}
	for _, c := range cases {
		line, err := Encode(c.options, c.args)
		require.NoError(t, err)
		options, args := split(line)
		assert.Equal(t, c.options, options, line)
		assert.Equal(t, c.args, args, line)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("a=b", "c", "")
	f.Fuzz(func(t *testing.T, option, a, b string) {
		line, err := Encode([]string{option}, []string{a, b})
		if err != nil {
			t.Skip()
		}
		options, args := split(line)
		assert.Equal(t, []string{option}, options)
		assert.Equal(t, []string{a, b}, args)
	})
}

func TestNext(t *testing.T) {
	options, args := split("  console=framed\t cwd=/a%20b --  x -- %zz y% virtio_mmio.device=512@0xfeb00000:5\n")
	assert.Equal(t, []string{"console=framed", "cwd=/a b", "virtio_mmio.device=512@0xfeb00000:5"}, options)
	assert.Equal(t, []string{"x", "--", "%zz", "y%"}, args)
}

func TestOption(t *testing.T) {
	v, ok := Option("env=K=V", "env")
	assert.True(t, ok)
	assert.Equal(t, "K=V", v)
	v, ok = Option("cwd=", "cwd")
	assert.True(t, ok)
	assert.Empty(t, v)
	for _, word := range []string{"env", "environ=K", "en=v", "", "="} {
		_, ok = Option(word, "env")
		assert.False(t, ok, word)
	}
}

func TestDecodeShortBuffer(t *testing.T) {
	buf := make([]byte, 3)
	assert.Equal(t, 3, Decode(buf, "a%20bcd"))
	assert.Equal(t, "a b", string(buf))
}

func TestEncodeRefuses(t *testing.T) {
	_, err := Encode(nil, []string{strings.Repeat("x", MaxLen)})
	assert.ErrorContains(t, err, "4095")
	_, err = Encode([]string{"--"}, nil)
	assert.Error(t, err)
	line, err := Encode(nil, []string{strings.Repeat("x", MaxLen-3)})
	require.NoError(t, err)
	assert.Len(t, line, MaxLen)
}

func TestReadingAllocatesNothing(t *testing.T) {
	buf := make([]byte, 64)
	line := "env=A%20B cwd=/ -- a b%20c"
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for w := Parse(line); ; {
			word, _, ok := w.Next()
			if !ok {
				break
			}
			if v, ok := Option(word, "env"); ok {
				word = v
			}
			Decode(buf, word)
		}
	}))
}
