// The program share uses the host's folders at /mnt/rw and, read-only, /mnt/ro, as qemu/share_test.go
// expects it.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing/fstest"
	"time"
)

const (
	workers = 8
	files   = 1000
	extent  = 1<<19 + 11 // bytes of one worker in the file large
)

func main() {
	log.SetFlags(0)
	check(os.Chdir("/mnt/rw"))
	mounts := read("/proc/mounts")
	for _, want := range []string{"share0 /mnt/rw 9p rw", "share1 /mnt/ro 9p ro"} {
		assert(strings.Contains(mounts, want), "%s is not in %s", want, mounts)
	}
	check(fstest.TestFS(os.DirFS("tree"), "a/b/file", "a/link", "empty"))
	large()
	many()
	names()
	open()
	readOnly()
	together()
	fmt.Println("done")
}

// large has goroutines write and read one file.
func large() {
	f, err := os.Create("large")
	check(err)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			p := bytes.Repeat([]byte{byte('a' + w)}, extent)
			_, err := f.WriteAt(p, int64(w)*extent)
			check(err)
			got := make([]byte, extent)
			_, err = f.ReadAt(got, int64(w)*extent)
			check(err)
			assert(bytes.Equal(p, got), "not what was written at %d", w*extent)
		})
	}
	group.Wait()
	check(f.Sync())
	n, err := f.ReadAt(make([]byte, 100), workers*extent-10)
	assert(n == 10 && err == io.EOF, "%d bytes at the end, %v", n, err)
	check(f.Close())
}

// many has goroutines make files, and rename and remove some.
func many() {
	check(os.Mkdir("many", 0o750))
	name := func(i int) string { return fmt.Sprintf("many/file%03d", i) }
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < files; i += workers {
				check(os.WriteFile(name(i), fmt.Appendf(nil, "content %d", i), 0o640))
				switch i % 4 {
				case 1:
					check(os.Rename(name(i), name(i)+"x"))
				case 2:
					check(os.Remove(name(i)))
				}
			}
		})
	}
	group.Wait()
	list, err := os.ReadDir("many")
	check(err)
	seen := make(map[string]bool)
	for _, e := range list {
		info, err := e.Info()
		check(err)
		assert(info.Mode() == 0o640 && info.Size() > 8, "%s: %v, %d bytes", e.Name(), info.Mode(), info.Size())
		seen[e.Name()] = true
	}
	assert(len(seen) == files*3/4 && len(list) == len(seen), "%d names, %d entries", len(seen), len(list))
	for i := range files {
		switch n := filepath.Base(name(i)); i % 4 {
		case 1:
			assert(seen[n+"x"], "%sx is missing", n)
		case 2:
			assert(!seen[n], "%s is still there", n)
		default:
			assert(read(name(i)) == fmt.Sprint("content ", i), "content of %s", n)
		}
	}
}

// names tries links, attributes, and what fails.
func names() {
	check(os.WriteFile("one", []byte("one, two, three"), 0o600))
	check(os.Truncate("one", 8))
	f, err := os.OpenFile("one", os.O_APPEND|os.O_WRONLY, 0)
	check(err)
	_, err = f.WriteString("!")
	check(err)
	check(f.Close())
	check(os.Symlink("../one", "many/link"))
	assert(read("many/link") == "one, two!", "%q through a link", read("many/link"))
	check(os.Link("one", "hard"))
	check(os.Chmod("hard", 0o604))
	check(os.Chtimes("hard", time.Unix(1000, 1), time.Unix(2000, 2)))
	info, err := os.Stat("one")
	check(err)
	st := info.Sys().(*syscall.Stat_t)
	assert(info.Mode() == 0o604 && st.Nlink == 2 && info.ModTime().Equal(time.Unix(2000, 2)), "attributes: %+v", st)

	check(os.MkdirAll("dir/sub", 0o777))
	check(os.Chdir("dir/sub"))
	check(os.Rename("/mnt/rw/dir", "/mnt/rw/moved"))
	dir, err := syscall.Getwd()
	check(err)
	assert(dir == "/mnt/rw/moved/sub", "the working directory is %s", dir)
	check(os.Chdir("/mnt/rw"))

	_, err = os.OpenFile("one", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	fails(err, syscall.EEXIST)
	_, err = os.Open("none")
	fails(err, syscall.ENOENT)
	_, err = os.Open("one/none")
	fails(err, syscall.ENOTDIR)
	fails(os.Remove("moved"), syscall.ENOTEMPTY)
	fails(os.Rename("moved", "moved/sub/x"), syscall.EINVAL)
	fails(os.Rename("one", "/tmp/one"), syscall.EXDEV)
	_, err = os.Create(strings.Repeat("n", 256))
	fails(err, syscall.ENAMETOOLONG)
	check(os.RemoveAll("moved"))
}

// open uses files that were renamed and removed while they were open.
func open() {
	f, err := os.Create("opened")
	check(err)
	_, err = f.WriteString("first ")
	check(err)
	check(os.Rename("opened", "many/renamed"))
	check(f.Truncate(5))
	_, err = f.WriteAt([]byte(" and second"), 5)
	check(err)
	check(os.Remove("many/renamed"))
	_, err = f.WriteAt([]byte(", third"), 16)
	check(err)
	p := make([]byte, 100)
	n, err := f.ReadAt(p, 0)
	assert(string(p[:n]) == "first and second, third", "%q %v", p[:n], err)
	info, err := f.Stat()
	check(err)
	assert(info.Size() == 23, "%d bytes", info.Size())
	check(f.Close())
}

func readOnly() {
	assert(read("/mnt/ro/tree/a/b/file") == "text", "content of the read-only folder")
	fails(os.WriteFile("/mnt/ro/new", nil, 0o600), syscall.EROFS)
	fails(os.Remove("/mnt/ro/tree/empty"), syscall.EROFS)
	fails(os.Chmod("/mnt/ro/tree/empty", 0), syscall.EROFS)
}

// together shows that each side sees at once what the other changes, even in a file that is open: the
// host answers a question by changing the file answer.
func together() {
	f, err := os.Open("answer")
	check(err)
	for i := range 20 {
		check(os.WriteFile("asking", fmt.Appendf(nil, "%d", i), 0o600))
		check(os.Rename("asking", "question"))
		p := make([]byte, 100)
		for start := time.Now(); ; time.Sleep(time.Millisecond) {
			n, err := f.ReadAt(p, 0)
			if string(p[:n]) == fmt.Sprint("answer ", i) {
				break
			}
			assert(time.Since(start) < 10*time.Second, "no answer: %q %v", p[:n], err)
		}
	}
	check(f.Close())
}

func read(name string) string {
	p, err := os.ReadFile(name)
	check(err)
	return string(p)
}

func fails(err error, want syscall.Errno) {
	if !errors.Is(err, want) {
		log.Panicf("%v, and not %v", err, want)
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
