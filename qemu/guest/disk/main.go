// The program disk uses the disks /dev/vda, which it fills, and /dev/vdb, which is read-only, as
// qemu/disk_test.go expects it.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// pattern makes p what is at an offset of the disk when all is written.
func pattern(p []byte, off int64) {
	for i := range p {
		at := off + int64(i)
		p[i] = byte(at) ^ byte(at>>9)*31
	}
}

const (
	workers = 32
	extent  = 1 << 18 // of a worker's writes, which are in turns

	blkROGet, blkGetSize, blkFlush, blkSectorSize = 0x125d, 0x1260, 0x1261, 0x1268
	blkDiscard, blkPhysicalSize, blkZeroOut       = 0x1277, 0x127b, 0x127f
	blkGetSize64                                  = 0x80081272
)

func main() {
	log.SetFlags(0)
	names, err := os.ReadDir("/dev")
	check(err)
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "vd") {
			fmt.Println("found", n.Name(), n.Type())
		}
	}
	f, err := os.OpenFile("/dev/vda", os.O_RDWR, 0)
	check(err)
	size, err := f.Seek(0, io.SeekEnd)
	check(err)
	info, err := f.Stat()
	check(err)
	st := info.Sys().(*syscall.Stat_t)
	fmt.Printf("vda: %v rdev %#x, size %d, ioctls %d %d %d %d %d\n", info.Mode(), st.Rdev, size,
		get(f, blkGetSize64), get(f, blkGetSize), get(f, blkSectorSize), get(f, blkPhysicalSize), get(f, blkROGet))

	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() { write(f, size, w) })
	}
	group.Wait()
	check(f.Sync())
	check(syscall.Fdatasync(int(f.Fd())))
	ioctl(f, blkFlush, nil)
	for w := range workers {
		group.Go(func() { verify(f, size, w) })
	}
	group.Wait()
	stack(f)
	end(f, size)
	ranges(f, size)

	readOnly()
	fmt.Println("done")
}

// write fills this worker's extents in pieces of any length.
func write(f *os.File, size int64, w int) {
	random := rand.New(rand.NewSource(int64(w)))
	p := make([]byte, extent)
	for off := int64(w) * extent; off < size; off += workers * extent {
		for from := int64(0); from < extent; {
			n := min(extent-from, 1+random.Int63n(40_000))
			pattern(p[:n], off+from)
			k, err := f.WriteAt(p[:n], off+from)
			check(err)
			assert(int64(k) == n, "short write")
			from += n
		}
		if random.Intn(4) == 0 {
			check(f.Sync())
		}
	}
}

func verify(f *os.File, size int64, w int) {
	got, want := make([]byte, 3*extent+77), make([]byte, 3*extent+77)
	for off := int64(w) * extent; off < size; off += workers * extent {
		n := min(int64(len(got)), size-off-3)
		_, err := f.ReadAt(got[:n], off+3)
		check(err)
		pattern(want[:n], off+3)
		assert(bytes.Equal(got[:n], want[:n]), "what was read is not what was written")
	}
}

// stack reads and writes memory of goroutine stacks, which grow meanwhile.
func stack(f *os.File) {
	var group sync.WaitGroup
	for w := range 64 {
		group.Go(func() {
			for i := range 20 {
				var p, want [700]byte
				off := int64(w*700_001 + i*1000)
				n, err := syscall.Pread(int(f.Fd()), p[:], off)
				check(err)
				pattern(want[:], off)
				assert(n == len(p) && p == want, "what was read to a stack differs")
				n, err = syscall.Pwrite(int(f.Fd()), p[:], off)
				check(err)
				assert(n == len(p), "short write")
			}
		})
	}
	group.Wait()
}

// end shows what happens there.
func end(f *os.File, size int64) {
	n, err := f.ReadAt(make([]byte, 1000), size-10)
	assert(n == 10 && err == io.EOF, "read across the end")
	_, err = syscall.Pwrite(int(f.Fd()), make([]byte, 1), size)
	assert(err == syscall.ENOSPC, "write at the end: %v", err)
	d, err := os.OpenFile("/dev/vda", os.O_RDWR|syscall.O_DIRECT|os.O_SYNC, 0)
	check(err)
	defer d.Close()
	p := make([]byte, 8192)
	_, err = d.ReadAt(p, 512)
	check(err)
	_, err = d.WriteAt(p, 512)
	check(err)
	_, err = d.WriteAt(p[:100], 512)
	assert(errors.Is(err, syscall.EINVAL), "unaligned O_DIRECT: %v", err)
}

// ranges leaves zeroes at the end of the disk but 1 MiB.
func ranges(f *os.File, size int64) {
	r := [2]uint64{uint64(size - 2<<20), 1 << 19}
	ioctl(f, blkZeroOut, unsafe.Pointer(&r))
	r[0] += 1 << 19
	ioctl(f, blkDiscard, unsafe.Pointer(&r))
	ioctl(f, blkZeroOut, unsafe.Pointer(&r))
	p := make([]byte, 1<<20)
	_, err := f.ReadAt(p, size-2<<20)
	check(err)
	assert(bytes.Equal(p, make([]byte, 1<<20)), "zeroes are none")
}

func readOnly() {
	f, err := os.OpenFile("/dev/vdb", os.O_RDWR, 0)
	check(err)
	content, err := io.ReadAll(f)
	check(err)
	fmt.Printf("vdb: %d bytes, begin with %q, read-only %d\n", len(content), content[:6], get(f, blkROGet))
	_, err = f.WriteAt([]byte("x"), 0)
	fmt.Println("vdb:", err)
	check(f.Sync())
}

func get(f *os.File, request uintptr) (v uint64) {
	ioctl(f, request, unsafe.Pointer(&v))
	return v
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) {
	if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg)); err != 0 {
		log.Fatalf("ioctl %#x: %v", request, err)
	}
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func assert(ok bool, format string, args ...any) {
	if !ok {
		log.Panicf(format, args...)
	}
}
