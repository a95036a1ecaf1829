// Package cmdline reads and writes the kernel's command line, the words of docs/design.md section 7.
//
// The reading half allocates nothing and calls nothing that does, since the nucleus uses it before
// the Go runtime exists: words are slices of the line, decoded into memory of the caller.
package cmdline

// MaxLen is the length in bytes of the longest command line that arrives whole: QEMU's PVH loader
// hands over at most this much and cuts the rest off.
const MaxLen = 4095

// Empty is how an empty word is written.
const Empty = "%"

// virtioDevice begins the words that QEMU's microvm machine appends to the line, behind the
// program's arguments, to name its virtio-mmio devices. An argument that begins like this has its
// first letter percent-encoded by Encode.
const virtioDevice = "virtio_mmio.device="

// Words steps through the words of a command line.
type Words struct {
	rest string
	args bool
}

// Parse returns the words of a command line, ready to be stepped through by Next.
func Parse(line string) Words { return Words{rest: line} }

// Next returns the next word, still encoded. It reports in arg whether the word is an argument of
// the program and not an option of the kernel; the "--" between them is not returned. ok is false at
// the end of the line.
func (w *Words) Next() (word string, arg, ok bool) {
	for {
		start := 0
		for start < len(w.rest) && separator(w.rest[start]) {
			start++
		}
		end := start
		for end < len(w.rest) && !separator(w.rest[end]) {
			end++
		}
		if start == end {
			w.rest = ""
			return "", false, false
		}
		word = w.rest[start:end]
		w.rest = w.rest[end:]
		if !w.args && word == "--" {
			w.args = true
			continue
		}
		return word, w.args && !hasPrefix(word, virtioDevice), true
	}
}

// Option returns the value, still encoded, of word if it is the option name: "env=A=B" is the option
// "env" with the value "A=B".
func Option(word, name string) (value string, ok bool) {
	if len(word) <= len(name) || word[len(name)] != '=' || !hasPrefix(word, name) {
		return "", false
	}
	return word[len(name)+1:], true
}

// Decode writes the decoded form of an encoded word to dst and returns its length. The decoded form
// is never longer than the word; what does not fit in dst is left out. A percent sign that no two
// hexadecimal digits follow stands for itself, except for the word Empty.
func Decode(dst []byte, word string) int {
	if word == Empty {
		return 0
	}
	n := 0
	for i := 0; i < len(word) && n < len(dst); n++ {
		if word[i] == '%' && i+2 < len(word) {
			if hi, lo := digit(word[i+1]), digit(word[i+2]); hi >= 0 && lo >= 0 {
				dst[n] = byte(hi<<4 | lo)
				i += 3
				continue
			}
		}
		dst[n] = word[i]
		i++
	}
	return n
}

func separator(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

// digit returns the value of a hexadecimal digit, -1 for any other byte.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
