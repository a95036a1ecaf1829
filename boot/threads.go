package boot

import (
	"strconv"
	"strings"

	"github.com/goshawk-os/goshawk/fs/procfs"
	"github.com/goshawk-os/goshawk/kernel/linux"
)

// pid is the ID of the process and of its first thread.
const pid = 1

// thread returns the directory of a thread in /proc/1/task.
func thread(tid int) (procfs.Node, bool) {
	for _, t := range linux.Threads() {
		if t == tid {
			return procfs.Node{Files: threadFiles(tid)}, true
		}
	}
	return procfs.Node{}, false
}

// threadFiles are the files that /proc has for a thread and for the process, which is shown as its
// first thread.
func threadFiles(tid int) []procfs.NamedFile {
	return []procfs.NamedFile{
		{Name: "comm", Content: func() []byte { return []byte(linux.ProcessName() + "\n") }},
		{Name: "stat", Content: func() []byte { return []byte(stat(tid)) }},
		{Name: "status", Content: func() []byte { return []byte(status(tid)) }},
	}
}

// stat has the 52 fields of /proc/pid/stat.
func stat(tid int) string {
	used, _ := memory()
	var fields [52]string
	for i := range fields {
		fields[i] = "0"
	}
	for i, v := range map[int]string{
		1: decimal(tid), 2: "(" + linux.ProcessName() + ")", 3: "R", 5: decimal(pid), 6: decimal(pid), 8: "-1",
		14: decimal(linux.CPUTime() / (1e9 / ticks)), 18: "20", 20: decimal(len(linux.Threads())),
		23: decimal(used), 24: decimal(used / pageSize), 25: "18446744073709551615", 38: "17",
	} {
		fields[i-1] = v
	}
	return strings.Join(fields[:], " ") + "\n"
}

// status is /proc/pid/status, as far as there is something to tell.
func status(tid int) string {
	used, _ := memory()
	kib := decimal(used>>10) + " kB"
	c := linux.ProcessCredentials()
	noNewPrivileges := "0"
	if c.NoNewPrivileges {
		noNewPrivileges = "1"
	}
	var b strings.Builder
	for _, line := range [][2]string{
		{"Name", linux.ProcessName()}, {"Umask", octal(linux.Umask())}, {"State", "R (running)"},
		{"Tgid", decimal(pid)}, {"Ngid", "0"}, {"Pid", decimal(tid)}, {"PPid", "0"}, {"TracerPid", "0"},
		{"Uid", idList(c.User[:], "\t")}, {"Gid", idList(c.Group[:], "\t")}, {"FDSize", decimal(len(linux.Descriptors()))},
		{"Groups", idList(c.Groups, " ") + " "}, {"VmSize", kib}, {"VmRSS", kib}, {"Threads", decimal(len(linux.Threads()))},
		{"CapInh", capabilities(c.Inheritable)}, {"CapPrm", capabilities(c.Permitted)}, {"CapEff", capabilities(c.Effective)},
		{"CapBnd", capabilities(linux.AllCapabilities)}, {"CapAmb", capabilities(0)}, {"NoNewPrivs", noNewPrivileges}, {"Seccomp", "0"},
	} {
		b.WriteString(line[0] + ":\t" + line[1] + "\n")
	}
	return b.String()
}

func idList(list []uint32, separator string) string {
	text := make([]string, len(list))
	for i, id := range list {
		text[i] = decimal(uint64(id))
	}
	return strings.Join(text, separator)
}

// octal writes a mask of permissions as Linux does, with four digits.
func octal(mask uint32) string { return padded(strconv.FormatUint(uint64(mask), 8), 4) }

func capabilities(set uint64) string { return padded(strconv.FormatUint(set, 16), 16) }

// padded puts zeros before a number up to a width.
func padded(number string, width int) string {
	return strings.Repeat("0", max(0, width-len(number))) + number
}
