package cmdline

import (
	"errors"
	"strconv"
	"strings"
)

// Encode returns the command line with these options of the kernel, each "name=value" and not yet
// encoded, and these arguments of the program. It fails if the line would be longer than MaxLen.
func Encode(options, args []string) (string, error) {
	var b strings.Builder
	for _, o := range options {
		if o == "--" || o == "" {
			return "", errors.New("kernel option " + strconv.Quote(o) + ": not of the form name=value")
		}
		encodeWord(&b, o)
	}
	if len(args) > 0 {
		encodeWord(&b, "--")
		for _, a := range args {
			encodeWord(&b, a)
		}
	}
	if b.Len() > MaxLen {
		return "", errors.New("command line of " + strconv.Itoa(b.Len()) + " bytes: the loader passes at most " +
			strconv.Itoa(MaxLen) + "; shorten the arguments or the environment, or put them in a file")
	}
	return b.String(), nil
}

// encodeWord adds a space, unless the word is the first, and the encoded word.
func encodeWord(b *strings.Builder, word string) {
	const hex = "0123456789ABCDEF"
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if word == "" {
		b.WriteString(Empty)
	}
	for i := range len(word) {
		c := word[i]
		if c <= ' ' || c >= 0x7f || c == '%' || i == 0 && strings.HasPrefix(word, virtioDevice) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
}
