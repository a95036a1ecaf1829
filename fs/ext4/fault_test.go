package ext4_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/block/blocktest"
	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// disturb does random operations, whose errors do not matter, and returns the logs that were synced, with their sizes.
func disturb(ns *vfs.Namespace, rnd *rand.Rand, steps int) map[string]int {
	synced := make(map[string]int)
	sizes := make(map[string]int)
	name := func() string { return fmt.Sprintf("/d%d/f%d", rnd.IntN(3), rnd.IntN(30)) }
	for i := range 3 {
		_ = ns.Mkdir(nil, fmt.Sprint("/d", i), 0o755)
	}
	for range steps {
		switch rnd.IntN(9) {
		case 0, 1:
			log := fmt.Sprint("/log", rnd.IntN(3))
			f, err := ns.Open(nil, log, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_APPEND, 0o600)
			if err != nil {
				continue
			}
			p := bytes.Repeat([]byte{log[4]}, rnd.IntN(9000))
			n, err := f.Write(p)
			sizes[log] += n
			if err == nil && f.Sync() == nil {
				synced[log] = sizes[log]
			}
			_ = f.Close()
		case 2, 3:
			if f, err := ns.Open(nil, name(), syscall.O_CREAT|syscall.O_RDWR, 0o600); err == nil {
				_, _ = f.Pwrite(make([]byte, rnd.IntN(30000)), int64(rnd.IntN(200000)))
				_ = f.Close()
			}
		case 4:
			_ = ns.Unlink(nil, name(), 0)
		case 5:
			_ = ns.Rename(nil, name(), nil, name(), 0)
		case 6:
			if f, err := ns.Open(nil, name(), syscall.O_RDWR, 0); err == nil {
				_ = f.Truncate(int64(rnd.IntN(100000)))
				_ = f.Fallocate(abi.FALLOC_FL_PUNCH_HOLE|abi.FALLOC_FL_KEEP_SIZE, int64(rnd.IntN(50000)), 30000)
				_ = f.Close()
			}
		case 7:
			_ = ns.Setxattr(nil, name(), "user.x", make([]byte, rnd.IntN(500)), 0, 0)
		case 8:
			_ = ns.Mkdir(nil, fmt.Sprintf("/d%d/s%d", rnd.IntN(3), rnd.IntN(10)), 0o700)
			_ = ns.Unlink(nil, fmt.Sprintf("/d%d/s%d", rnd.IntN(3), rnd.IntN(10)), abi.AT_REMOVEDIR)
		}
	}
	return synced
}

// TestDiskErrors lets writes, flushes or reads of the disk fail, once or from then on. The file system may stop
// writing; what was synced is there, and what the disk has can be recovered.
func TestDiskErrors(t *testing.T) {
	for op, last := range map[block.Op]int{block.Write: 400, block.FlushCache: 60, block.Read: 12} {
		failed := 0
		for seed := range uint64(24) {
			t.Run(fmt.Sprint(op, " ", seed), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 9))
				rec := blocktest.NewRecorder(emptyImage(t, "16M", variations["1k"]...), sector)
				at, forever := int64(5+rnd.IntN(last)), seed%2 == 0
				var count atomic.Int64
				rec.Fail = func(r *block.Request) error {
					if r.Op != op {
						return nil
					}
					if n := count.Add(1); n == at || forever && n > at {
						return syscall.EIO
					}
					return nil
				}
				pages := pagecache.New(pagecache.Options{Limit: 200})
				defer pages.Close()
				mounted, err := ext4.Mount(rec, ext4.Options{Pages: pages, Metadata: 64 << 10})
				if err != nil {
					require.LessOrEqual(t, at, count.Load(), "%v", err)
					failed++
					return
				}
				done := make(chan map[string]int, 1)
				go func() {
					synced := disturb(vfs.New(mounted), rnd, 400)
					_ = mounted.Unmount()
					done <- synced
				}()
				var synced map[string]int
				select {
				case synced = <-done:
				case <-time.After(time.Minute):
					t.Fatal("it hangs")
				}
				rec.Fail = nil
				if count.Load() >= at {
					failed++
				}
				img := rec.Torn(rec.Len(), 0)
				_, ns, end := mountDevice(t, block.NewMemory(img, 512))
				for log, size := range synced {
					f, err := ns.Open(nil, log, 0, 0)
					require.NoError(t, err)
					p := make([]byte, size)
					n, err := f.Pread(p, 0)
					require.NoError(t, err)
					require.Equal(t, size, n, log)
					assert.Equal(t, size, bytes.Count(p, []byte{log[4]}), log)
					require.NoError(t, f.Close())
				}
				end()
				check(t, img)
			})
		}
		assert.Greater(t, failed, 8, "%v: too few errors", op)
		t.Logf("%v: %d of 24 with an error", op, failed)
	}
}

// TestChangeDamaged flips bits of metadata and then changes the file system. Whatever comes of it, it ends.
func TestChangeDamaged(t *testing.T) {
	for _, name := range []string{"1k", "nocsum"} {
		whole := emptyImage(t, "8M", append(variations[name], "-b", "1024")...)
		_, ns, end := mountDevice(t, block.NewMemory(whole, 512))
		disturb(ns, rand.New(rand.NewPCG(1, 1)), 300)
		end()
		var used []int
		for i, b := range whole {
			if b != 0 {
				used = append(used, i)
			}
		}
		for seed := range uint64(60) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 2))
				img := bytes.Clone(whole)
				for range 1 + rnd.IntN(10) {
					at := used[rnd.IntN(len(used))]
					if seed%2 == 0 {
						at = used[rnd.IntN(len(used)/4)] // more of the structures lie there
					}
					img[at] ^= 1 << rnd.IntN(8)
				}
				pages := pagecache.New(pagecache.Options{Limit: 200})
				defer pages.Close()
				mounted, err := ext4.Mount(block.NewMemory(img, 512), ext4.Options{Pages: pages})
				if err != nil {
					return
				}
				done := make(chan bool)
				go func() {
					disturb(vfs.New(mounted), rnd, 200)
					_ = mounted.Unmount()
					close(done)
				}()
				select {
				case <-done:
				case <-time.After(time.Minute):
					t.Fatal("it hangs")
				}
			})
		}
	}
}
