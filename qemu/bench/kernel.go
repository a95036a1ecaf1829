//go:build linux && amd64

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// cloudKernel is the package that depends on Debian's newest cloud kernel.
const cloudKernel = "linux-image-cloud-amd64"

var newestKernel = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\S+)$`)

// debianKernel returns the path of Debian's cloud kernel as an ELF file, and the name of its package
// with the version. The file is kept in the user's cache directory.
func debianKernel(ctx context.Context) (file, name string, err error) {
	help := func(err error) error {
		return fmt.Errorf("no Linux kernel to compare with: %w; on Debian do apt-get update, elsewhere name a kernel by -linux", err)
	}
	out, err := output(ctx, "", "apt-cache", "depends", "--important", cloudKernel)
	if err != nil {
		return "", "", help(err)
	}
	found := newestKernel.FindSubmatch(out)
	if found == nil {
		return "", "", help(fmt.Errorf("apt does not know the package %s", cloudKernel))
	}
	pkg := string(found[1])
	out, err = output(ctx, "", "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		return "", "", help(err)
	}
	_, rest, _ := strings.Cut("\n"+string(out), "\nVersion: ")
	version, _, _ := strings.Cut(rest, "\n")
	name = pkg + " " + version
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(cache, "goshawk", "linux")
	file = filepath.Join(dir, fmt.Sprintf("%s_%s.elf", pkg, strings.ReplaceAll(version, ":", "_")))
	if _, err := os.Stat(file); err == nil {
		return file, name, nil
	}
	note("fetching %s", name)
	kernel, err := fetchKernel(ctx, pkg)
	if err != nil {
		return "", "", help(err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", "", err
	}
	tmp, err := os.CreateTemp(dir, "tmp-")
	if err != nil {
		return "", "", err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(kernel)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return "", "", err
	}
	return file, name, os.Rename(tmp.Name(), file)
}

// output runs a command in dir and returns what it prints, or an error with its messages.
func output(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(messages.String()))
	}
	return out, nil
}

// fetchKernel downloads a package and returns the kernel in it.
func fetchKernel(ctx context.Context, pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "goshawk-apt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := output(ctx, dir, "apt-get", "download", pkg); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return nil, fmt.Errorf("apt-get download %s left %d packages", pkg, len(debs))
	}
	content, err := output(ctx, "", "dpkg-deb", "--fsys-tarfile", debs[0])
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("%s: no kernel in it: %w", pkg, err)
		}
		if strings.HasPrefix(header.Name, "./boot/vmlinuz-") {
			bzImage, err := io.ReadAll(files)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", pkg, err)
			}
			return extractKernel(bzImage)
		}
	}
}

// extractKernel returns the ELF file in a bzImage (Linux: Documentation/arch/x86/boot.rst).
func extractKernel(bzImage []byte) ([]byte, error) {
	if len(bzImage) < 0x250 || string(bzImage[0x202:0x206]) != "HdrS" {
		return nil, errors.New("the kernel is no bzImage")
	}
	sectors := uint64(bzImage[0x1f1]) // setup_sects
	payload := (sectors+1)*512 + uint64(binary.LittleEndian.Uint32(bzImage[0x248:]))
	end := payload + uint64(binary.LittleEndian.Uint32(bzImage[0x24c:])) - 4 // the size when unpacked follows
	if payload > end || end+4 > uint64(len(bzImage)) {
		return nil, errors.New("the kernel is truncated")
	}
	packed, size := bzImage[payload:end], binary.LittleEndian.Uint32(bzImage[end:])
	if !bytes.HasPrefix(packed, []byte{0x02, 0x21, 0x4c, 0x18}) {
		return nil, fmt.Errorf("the kernel is packed in a way other than LZ4: it begins with % x", packed[:min(8, len(packed))])
	}
	kernel, err := io.ReadAll(lz4.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return nil, fmt.Errorf("unpacking the kernel: %w", err)
	}
	if uint32(len(kernel)) != size {
		return nil, fmt.Errorf("the kernel unpacks to %d bytes, not to %d", len(kernel), size)
	}
	return kernel, nil
}

// hostClock returns the frequency of the host's time stamp counter in kHz. TCG hands the counter to
// its guests.
func hostClock() uint64 {
	start, count := time.Now(), amd64.Rdtsc()
	time.Sleep(200 * time.Millisecond)
	count = amd64.Rdtsc() - count
	return count * 1_000_000 / uint64(time.Since(start))
}
