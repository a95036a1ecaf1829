// The program mount uses the file system at /data, as qemu/mount_test.go expects it.
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

	"github.com/goshawk-os/goshawk/qemu/guest/mount/early"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	log.SetFlags(0)
	mounts, err := os.ReadFile("/proc/mounts")
	check(err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " /data ") {
			fmt.Print(line)
		}
	}
	switch os.Args[1] {
	case "read":
		b, err := os.ReadFile("/data/hello")
		check(err)
		fmt.Printf("%s%s", early.Hello, b)
		err = os.WriteFile("/data/new", nil, 0o600)
		fmt.Println(errors.Is(err, syscall.EROFS))
	case "write":
		write()
	}
}

// content is that of the file of a worker.
func content(worker int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("worker %d\n", worker)), 50_000)
}

func write() {
	check(os.Mkdir("/data/dir", 0o750))
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			name := fmt.Sprintf("/data/dir/file%d", w)
			f, err := os.Create(name + ".new")
			check(err)
			_, err = io.Copy(f, bytes.NewReader(content(w)))
			check(err)
			check(f.Sync())
			check(f.Close())
			check(os.Rename(name+".new", name))
			for i := range 200 {
				small := fmt.Sprintf("/data/dir/small%d-%d", w, i)
				check(os.WriteFile(small, []byte(small), 0o640))
				if i%2 == 0 {
					check(os.Remove(small))
				}
			}
		})
	}
	group.Wait()
	check(os.Symlink("dir/file3", "/data/link"))
	check(os.Link("/data/dir/file4", "/data/hard"))
	check(os.Truncate("/data/dir/file5", 12345))
	list, err := filepath.Glob("/data/dir/small*")
	check(err)
	fmt.Println(len(list))
	b, err := os.ReadFile("/data/link")
	check(err)
	fmt.Println(bytes.Equal(b, content(3)))
	var st syscall.Statfs_t
	check(syscall.Statfs("/data", &st))
	fmt.Println(st.Type, st.Blocks > st.Bfree)
	// Written, and not synced: the end of the program does it.
	check(os.WriteFile("/data/last", []byte("words"), 0o600))
}
