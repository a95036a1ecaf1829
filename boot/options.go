package boot

import (
	"strings"

	"github.com/goshawk-os/goshawk/kernel/cmdline"
)

// options are what the kernel's command line says (docs/design.md section 7), apart from the
// environment: that goes from the nucleus to the Go runtime, as the arguments do.
type options struct {
	framed  bool     // console input is framed
	cwd     string   // working directory, "" if not given
	tar     string   // where the boot module's files go, "" if not given
	mounts  []string // file systems of disks, see parseMount
	shares  []string // folders of the host, see parseShare
	args    []string // os.Args
	unknown []string
}

// program is the name of a program that is not told one.
const program = "/program"

func readOptions(line string) options {
	o := options{args: []string{program}}
	for w := cmdline.Parse(line); ; {
		word, arg, ok := w.Next()
		if !ok {
			return o
		}
		if arg {
			o.args = append(o.args, decode(word))
			continue
		}
		if v, ok := cmdline.Option(word, "console"); ok && v == "framed" {
			o.framed = true
		} else if v, ok := cmdline.Option(word, "cwd"); ok {
			o.cwd = decode(v)
		} else if v, ok := cmdline.Option(word, "argv0"); ok {
			o.args[0] = decode(v)
		} else if v, ok := cmdline.Option(word, "tar"); ok {
			o.tar = decode(v)
		} else if v, ok := cmdline.Option(word, "mount"); ok {
			o.mounts = append(o.mounts, decode(v))
		} else if v, ok := cmdline.Option(word, "share"); ok {
			o.shares = append(o.shares, decode(v))
		} else if !elsewhere(word) {
			o.unknown = append(o.unknown, decode(word))
		}
	}
}

// elsewhere reports whether a word is an option that others read: the nucleus and package
// boot/network, which not every program has.
func elsewhere(word string) bool {
	for _, name := range []string{"env", "wall", "virtio_mmio.device", "net", "hostname", "pcap"} {
		if _, ok := cmdline.Option(word, name); ok {
			return true
		}
	}
	return false
}

func decode(word string) string {
	b := make([]byte, len(word))
	return string(b[:cmdline.Decode(b, word)])
}

// A diskMount is a disk and where its file system is mounted.
type diskMount struct {
	disk, dir string
	readOnly  bool
}

// parseMount reads an option mount, vda:/DIRECTORY or vda:/DIRECTORY:ro.
func parseMount(option string) (m diskMount, ok bool) {
	m.disk, m.dir, m.readOnly, ok = parsePlace(option)
	return m, ok
}

// parsePlace reads NAME:/DIRECTORY or NAME:/DIRECTORY:ro.
func parsePlace(option string) (name, dir string, readOnly, ok bool) {
	name, dir, ok = strings.Cut(option, ":")
	dir, readOnly = strings.CutSuffix(dir, ":ro")
	return name, dir, readOnly, ok && name != "" && strings.HasPrefix(dir, "/")
}

// A share is a folder of the host and where it is mounted.
type share struct {
	tag, dir string
	readOnly bool
}

// parseShare reads an option share, TAG:/DIRECTORY or TAG:/DIRECTORY:ro.
func parseShare(option string) (s share, ok bool) {
	s.tag, s.dir, s.readOnly, ok = parsePlace(option)
	return s, ok
}
