//go:build linux && amd64

package main

import "path"

// Reasons that several tests share.
const (
	noAVX512     = "needs AVX-512, which QEMU's emulated processor does not have"
	noSHANI      = "needs the SHA instructions, which QEMU 7.2's emulated processor does not have"
	noTUN        = "needs /dev/net/tun, a device that the guest does not have"
	runtimesPipe = "makes a pipe by the runtime's own pipe2, behind which are no descriptors in the guest (docs/design.md, section 1)"
	oneMapping   = "needs two mappings of files in /proc/self/maps; the guest's program is one, without vDSO"
)

// reasons say why tests that pass on Linux do not pass in the guest. The pattern of the test is
// path.Match's; the first entry that matches counts.
var reasons = []struct{ pkg, test, why string }{
	{"crypto/sha1", "*/SHA-NI", noSHANI},
	{"crypto/sha256", "*/SHA-NI", noSHANI},
	{"crypto/sha256", "*/*/SHA-NI", noSHANI},
	{"internal/poll", "TestReadError/ErrNotPollable", noTUN},
	{"internal/runtime/gc/scan", "Test*AVX512", noAVX512},
	{"internal/runtime/syscall/linux", "TestEpollctlErrorSign", "makes a call of epoll by the runtime's own seam, where the guest has no epoll: ENOSYS, not EBADF"},
	{"internal/zstd", "FuzzReverse", "needs the zstd command, whose presence the test looks for; on Linux its seeds that start it fail"},
	{"net", "Test*Allocs", "counts what the program allocates, and the TCP/IP stack is a part of the program"},
	{"net", "TestMultiPathTCP", "needs multipath TCP, which the TCP/IP stack does not have"},
	{"net", "TestReadLine", "reads /etc/services, which the guest does not have"},
	{"os", "TestNonPollable", noTUN},
	{"runtime", "TestNonblockingPipe", runtimesPipe},
	{"runtime", "TestSignalM", runtimesPipe},
	{"runtime", "TestMemmoveOverflow", "maps a file with MAP_SHARED and PROT_WRITE, which is not supported (docs/syscalls.md, mmap)"},
	{"runtime/debug", "TestWriteHeapDumpNonempty", "the runtime writes a heap dump by its own write, with all goroutines stopped; there are no descriptors behind it"},
	{"runtime/pprof", "TestConvertCPUProfile", oneMapping},
	{"runtime/pprof", "TestConvertMemProfile", oneMapping},
}

// reasonFor returns the reason of a difference, "" if there is none.
func reasonFor(pkg, test string) string {
	for _, r := range reasons {
		if ok, err := path.Match(r.test, test); r.pkg == pkg && ok && err == nil {
			return r.why
		}
	}
	return ""
}
