package main

import (
	"flag"
	"strings"

	"github.com/goshawk-os/goshawk/qemu"
)

// shareFlag defines the flag -share.
func (m *machineFlags) shareFlag(fs *flag.FlagSet) {
	fs.Func("share", "share a folder with the guest, `directory:/mnt[,ro]`; repeatable (see below)", func(s string) error {
		share, err := parseShare(s)
		if err == nil {
			m.shares = append(m.shares, share)
		}
		return err
	})
}

// shareHelp explains the flag.
const shareHelp = `
-share DIR:/mnt makes a directory of this machine /mnt of the guest: each side
sees at once what the other writes. The program is root, but has the rights of
the user who runs goshawk there, to whom new files belong. With ,ro the guest
can only read. A comma in a name is written twice.
`

// parseShare reads the value of -share.
func parseShare(text string) (s qemu.Share, err error) {
	const comma = "\x00"
	words := strings.Split(strings.ReplaceAll(text, ",,", comma), ",")
	for _, w := range words[1:] {
		if w != "ro" {
			return s, usagef("%q: behind the mount point there may be ro", w)
		}
		s.ReadOnly = true
	}
	where := strings.ReplaceAll(words[0], comma, ",")
	i := strings.LastIndex(where, ":")
	if i <= 0 {
		return s, usagef("name a directory and where the guest has it: DIR:/mnt")
	}
	s.Folder, s.Mount = where[:i], where[i+1:]
	return s, nil
}
