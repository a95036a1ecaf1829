package configure

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

func TestParseDomains(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Repeat("\x3f"+label, 4)
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"empty":                   {"", nil},
		"one":                     {"\x01a\x02bc\x00", []string{"a.bc"}},
		"two, one of them twice":  {"\x01a\x00\x01b\x00\x01a\x00", []string{"a", "b"}},
		"example of RFC 3397":     {"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", []string{"eng.apple.com", "marketing.apple.com"}},
		"pointer to a pointer":    {"\x01a\x00\x01b\xc0\x00\x01c\xc0\x03", []string{"a", "b.a", "c.b.a"}},
		"the root is no domain":   {"\x00\x01a\x00", []string{"a"}},
		"space":                   {"\x03a b\x00\x01c\x00", []string{"c"}},
		"line end":                {"\x03a\nb\x00", nil},
		"dot in a label":          {"\x03a.b\x00", []string{"a.b"}},
		"no end":                  {"\x01a", nil},
		"label beyond the end":    {"\x05a\x00", nil},
		"half a pointer":          {"\x01a\xc0", nil},
		"pointer to itself":       {"\xc0\x00", nil},
		"pointer forward":         {"\x01a\xc0\x05\x00\x01b\x00", nil},
		"pointer in a circle":     {"\x01a\xc0\x00", nil},
		"reserved kind of length": {"\x40a\x00", nil},
		"too long":                {long + "\x00", nil},
		"too long by pointers":    {"\x3f" + label + "\x3f" + label + "\x00\x3f" + label + "\x3f" + label + "\xc0\x00", []string{label + "." + label}},
	} {
		assert.Equal(t, c.want, parseDomains([]byte(c.in), maxDomains), name)
	}
	assert.Len(t, parseDomains([]byte("\x01a\x00\x01b\x00\x01c\x00"), 2), 2)
}

func FuzzParseDomains(f *testing.F) {
	f.Add([]byte("\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range parseDomains(b, maxDomains) {
			assert.True(t, options.ValidDomain(name), "%q", name)
		}
	})
}
