package goos

import (
	"fmt"
	"strings"
)

// An edit replaces text of one file of GOROOT/src.
type edit struct {
	File string // path below GOROOT/src
	Old  string // anchor: text that occurs exactly once, unless All
	New  string
	All  bool // the anchor occurs once or more, and all are replaced
}

// edits turn the program's seam of the Linux port, package syscall, from
// system call instructions to calls of the kernel's dispatcher.
//
// Every call of package syscall ends in RawSyscall6, rawSyscallNoError,
// rawVforkSyscall or gettimeofday. The last three are assembly in the Linux
// port; goos/_src/syscall defines them in Go. Others reach these functions:
//
//   - internal/syscall/unix, internal/poll, os and net call syscall.Syscall*
//     or pull functions of package syscall by linkname.
//   - golang.org/x/sys/unix jumps from assembly to syscall.Syscall, Syscall6,
//     RawSyscall, RawSyscall6 and gettimeofday. Its SyscallNoError and
//     RawSyscallNoError (getpid, getuid, umask, ...) are real SYSCALL
//     instructions, which trap to the nucleus.
//   - The runtime's own calls, among them syscall.AllThreadsSyscall
//     (runtime.syscall_runtime_doAllThreadsSyscall) and the files that
//     internal/runtime/cgroup reads, go through internal/runtime/syscall/linux:
//     the runtime's seam.
//   - vgetrandom exists only if the runtime finds it in a vDSO. There is
//     none, and internal/syscall/unix.GetRandom falls back to a system call.
//
// entersyscall and exitsyscall are gone from Syscall and Syscall6: a handler
// that waits parks its goroutine, so the thread keeps its P.
//
// The runtime's seam is edited where it executes system call instructions:
// each becomes a call of the nucleus with the same registers.
var edits = []edit{
	{
		File: "runtime/sys_linux_amd64.s",
		Old:  "\tSYSCALL\n",
		New:  "\tCALL\tgoshawk·syscall(SB)\n",
		All:  true,
	},
	{
		// The vDSO's clock gives way to the nucleus's; the original stays under
		// a name that nothing uses.
		File: "runtime/sys_linux_amd64.s",
		Old:  "TEXT runtime·nanotime1(SB),NOSPLIT,$16-8\n",
		New: "TEXT runtime·nanotime1(SB),NOSPLIT|NOFRAME,$0-8\n\tJMP\tgoshawk·nanotime1(SB)\n\n" +
			"TEXT runtime·vdsoNanotime1(SB),NOSPLIT,$16-8\n",
	},
	{
		// The word is cleared to say that the stack is free, and a call uses the
		// stack: so the nucleus clears it, given its address.
		File: "runtime/sys_linux_amd64.s",
		Old:  "\tMOVL\t$0, (AX)\n\tMOVL\t$0, DI\t// exit code\n",
		New:  "\tMOVQ\tAX, DI\n",
	},
	{
		// With a call in it the function would get a frame, and the signal frame
		// would not be where the stack pointer is.
		File: "runtime/sys_linux_amd64.s",
		Old:  "TEXT runtime·sigreturn__sigaction(SB),NOSPLIT,$0\n",
		New:  "TEXT runtime·sigreturn__sigaction(SB),NOSPLIT|NOFRAME,$0\n",
	},
	{
		// A panic that ends the program runs no exit hooks. What the program has written is
		// still the kernel's, as after the death of a Linux process.
		File: "runtime/panic.go",
		Old:  "\t// ran out of deferred calls - old-school panic now\n",
		New:  "\tif f := goshawkDying; f != nil {\n\t\tgoshawkDying = nil\n\t\tf()\n\t}\n\t// ran out of deferred calls - old-school panic now\n",
	},
	{
		File: "runtime/panic.go",
		Old:  "// Print all currently active panics. Used when crashing.\n",
		New:  "// goshawkDying is called by the goroutine whose panic nobody recovers (goshawkAtExit).\nvar goshawkDying func()\n\n// Print all currently active panics. Used when crashing.\n",
	},
	{
		// Goroutines of the kernel are no more the program's than those of the
		// runtime: neither counted, nor shown in traces, nor waited for.
		File: "runtime/traceback.go",
		Old:  "\treturn stringslite.HasPrefix(funcname(f), \"runtime.\")\n",
		New: "\tname := funcname(f)\n" +
			"\treturn stringslite.HasPrefix(name, \"runtime.\") || stringslite.HasPrefix(name, \"goshawk/\")\n",
	},
	{
		// Linux tells the size of huge pages in a file of sysfs.
		File: "runtime/os_linux.go",
		Old:  "\tphysHugePageSize = getHugePageSize()\n",
		New:  "\tphysHugePageSize = 2 << 20\n",
	},
	{
		// runtime.fcntl is the runtime's seam, where descriptors do not exist.
		File: "internal/syscall/unix/fcntl_unix.go",
		Old:  "\tval, errno := fcntl(int32(fd), int32(cmd), int32(arg))\n\tif val == -1 {\n\t\treturn int(val), syscall.Errno(errno)\n",
		New:  "\tval, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(cmd), uintptr(arg))\n\tif errno != 0 {\n\t\treturn -1, errno\n",
	},
	{
		File: "internal/runtime/syscall/linux/asm_linux_amd64.s",
		Old:  "\tSYSCALL\n",
		New:  "\tCALL\tgoshawk·syscall(SB)\n",
		All:  true,
	},
	{
		// Credentials belong to the process here, so one call does for all threads.
		File: "syscall/syscall_linux.go",
		Old:  "errno := runtime_doAllThreadsSyscall(",
		New:  "errno := goshawkDispatch(",
		All:  true,
	},
	{
		File: "syscall/syscall_linux.go",
		Old:  "\t\"internal/runtime/syscall/linux\"\n",
		New:  "",
	},
	{
		File: "syscall/syscall_linux.go",
		Old:  "r1, r2, errno = linux.Syscall6(trap, a1, a2, a3, a4, a5, a6)",
		New:  "r1, r2, errno = goshawkDispatch(trap, a1, a2, a3, a4, a5, a6)",
	},
	{
		File: "syscall/syscall_linux.go",
		Old:  "\truntime_entersyscall()\n\t// N.B. Calling RawSyscall here",
		New:  "\t// N.B. Calling RawSyscall here",
	},
	{
		File: "syscall/syscall_linux.go",
		Old:  "\tr1, r2, err = RawSyscall6(trap, a1, a2, a3, 0, 0, 0)\n\truntime_exitsyscall()\n",
		New:  "\tr1, r2, err = RawSyscall6(trap, a1, a2, a3, 0, 0, 0)\n",
	},
	{
		File: "syscall/syscall_linux.go",
		Old:  "\truntime_entersyscall()\n\tr1, r2, err = RawSyscall6(trap, a1, a2, a3, a4, a5, a6)\n\truntime_exitsyscall()\n",
		New:  "\tr1, r2, err = RawSyscall6(trap, a1, a2, a3, a4, a5, a6)\n",
	},
	{
		File: "syscall/syscall_linux.go",
		Old:  "func rawSyscallNoError(trap, a1, a2, a3 uintptr) (r1, r2 uintptr)\nfunc rawVforkSyscall(trap, a1, a2, a3 uintptr) (r1 uintptr, err Errno)\n",
		New:  "",
	},
	{
		// What the machine has just begun to ask for is worth waiting for.
		File: "net/dnsconfig_unix.go",
		Old:  "func dnsReadConfig(filename string) *dnsConfig {\n",
		New:  "func dnsReadConfig(filename string) *dnsConfig {\n\tgoshawkAwaitNetwork()\n",
	},
}

// apply returns text with the edit done. source names what is edited, with
// its version, and advice says what to do if the anchor is missing.
func (e *edit) apply(text []byte, source, advice string) ([]byte, error) {
	if n := strings.Count(string(text), e.Old); n == 0 || n > 1 && !e.All {
		return nil, fmt.Errorf("goos: %s: the file %s holds the expected text %q %d times, not once: %s", source, e.File, e.Old, n, advice)
	}
	return []byte(strings.ReplaceAll(string(text), e.Old, e.New)), nil
}

// applyEdits returns the text of each edited file of GOROOT/src, given the
// original of each. version names the Go release in errors.
func applyEdits(version string, originals map[string][]byte) (map[string][]byte, error) {
	edited := make(map[string][]byte)
	for _, e := range edits {
		text, ok := edited[e.File]
		if !ok {
			text = originals[e.File]
		}
		var err error
		if edited[e.File], err = e.apply(text, version, "this Go release is not one goshawk can edit; supported are "+supportedText()); err != nil {
			return nil, err
		}
	}
	return edited, nil
}

// editedFiles lists the files that edits touch, each once.
func editedFiles() []string {
	var files []string
	seen := make(map[string]bool)
	for _, e := range edits {
		if !seen[e.File] {
			seen[e.File] = true
			files = append(files, e.File)
		}
	}
	return files
}
