// Package early reads a file of /data when it is initialised, which is before the kernel's packages are.
package early

import "syscall"

// Hello is what the file /data/hello has, or an error.
var Hello = read("/data/hello")

func read(name string) string {
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		return err.Error()
	}
	defer syscall.Close(fd)
	p := make([]byte, 100)
	n, err := syscall.Read(fd, p)
	if err != nil {
		return err.Error()
	}
	return string(p[:n])
}
