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
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// cloudKernel is the package that depends on Debian's newest cloud kernel.
const cloudKernel = "linux-image-cloud-amd64"

var newestKernel = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\S+)$`)

// networkModules are the modules that a virtio network device on MMIO needs, in the order in which they
// are loaded. A kernel may have some of them built in.
var networkModules = []string{"failover.ko", "net_failover.ko", "virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_net.ko"}

// A linuxKernel is what a Linux guest boots.
type linuxKernel struct {
	name    string   // package with its version, or the file
	file    string   // ELF file with a PVH note
	modules []string // paths of networkModules; none if they are built in
}

// debianKernel returns Debian's cloud kernel. Its files are kept in the user's cache directory.
func debianKernel(ctx context.Context) (k linuxKernel, err error) {
	help := func(err error) error {
		return fmt.Errorf("no Linux kernel to compare with: %w; on Debian do apt-get update, elsewhere name a kernel by -linux", err)
	}
	out, err := output(ctx, "", "apt-cache", "depends", "--important", cloudKernel)
	if err != nil {
		return k, help(err)
	}
	found := newestKernel.FindSubmatch(out)
	if found == nil {
		return k, help(fmt.Errorf("apt does not know the package %s", cloudKernel))
	}
	pkg := string(found[1])
	out, err = output(ctx, "", "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		return k, help(err)
	}
	_, rest, _ := strings.Cut("\n"+string(out), "\nVersion: ")
	version, _, _ := strings.Cut(rest, "\n")
	k.name = pkg + " " + version
	cache, err := os.UserCacheDir()
	if err != nil {
		return k, err
	}
	dir := filepath.Join(cache, "goshawk", "linux", fmt.Sprintf("%s_%s", pkg, strings.ReplaceAll(version, ":", "_")))
	if _, err := os.Stat(dir); err != nil {
		note("fetching %s", k.name)
		files, err := fetchKernel(ctx, pkg)
		if err != nil {
			return k, help(err)
		}
		if err := saveFiles(dir, files); err != nil {
			return k, err
		}
	}
	k.file = filepath.Join(dir, kernelFile)
	for _, m := range networkModules {
		if _, err := os.Stat(filepath.Join(dir, m)); err == nil {
			k.modules = append(k.modules, filepath.Join(dir, m))
		}
	}
	return k, nil
}

// kernelFile is the name under which the kernel is kept.
const kernelFile = "vmlinux"

// saveFiles makes a directory with files, all or nothing.
func saveFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(tmp, name), content, 0o666); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dir)
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

// fetchKernel downloads a package and returns the kernel in it, as kernelFile, and its networkModules.
func fetchKernel(ctx context.Context, pkg string) (map[string][]byte, error) {
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
	found := make(map[string][]byte)
	for files := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := files.Next()
		if err == io.EOF && found[kernelFile] != nil {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: no kernel in it: %w", pkg, err)
		}
		name := path.Base(header.Name)
		isKernel := strings.HasPrefix(header.Name, "./boot/vmlinuz-")
		if !isKernel && !slices.Contains(networkModules, name) {
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pkg, err)
		}
		if isKernel {
			name = kernelFile
			if content, err = extractKernel(content); err != nil {
				return nil, err
			}
		}
		found[name] = content
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
