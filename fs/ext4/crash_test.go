package ext4_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/block/blocktest"
	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// A promise is what must be there after a power cut at or behind an entry of the recorder: a log has at least so
// many records, a configuration at least a version.
type promise struct {
	at     int
	path   string
	number uint64
}

const recordSize = 1000

// sector is what a disk of these tests writes as a whole: the superblock, which is written in place
// at mount and unmount, with one checksum.
const sector = 1024

// record is the content of record number i of a log.
func record(log, i int) []byte {
	p := make([]byte, recordSize)
	for j := 0; j < recordSize; j += 8 {
		binary.LittleEndian.PutUint64(p[j:], uint64(log)<<32+uint64(i*1000+j))
	}
	return p
}

// configuration is the content of a version: its length and all words depend on it.
func configuration(version uint64) []byte {
	p := make([]byte, 8*(100+version%900))
	for j := 0; j < len(p); j += 8 {
		binary.LittleEndian.PutUint64(p[j:], version)
	}
	return p
}

// workload has goroutines append to logs, replace configurations, and make and remove other things,
// and returns what they were promised.
func workload(t *testing.T, ns *vfs.Namespace, rec *blocktest.Recorder, rounds int) (all []promise) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 5))
			log, config := fmt.Sprint("/log", w), fmt.Sprint("/config", w)
			records, version := 0, uint64(0)
			keep := func(path string, number uint64) {
				mu.Lock()
				all = append(all, promise{rec.Len(), path, number})
				mu.Unlock()
			}
			must := func(err error) {
				if err != nil {
					t.Error(err)
				}
			}
			for i := range rounds {
				if t.Failed() {
					return
				}
				switch rnd.IntN(5) {
				case 0, 1:
					f, err := ns.Open(nil, log, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_APPEND, 0o600)
					must(err)
					for range 1 + rnd.IntN(20) {
						_, err := f.Write(record(w, records))
						must(err)
						records++
					}
					must(f.Sync())
					keep(log, uint64(records))
					must(f.Close())
				case 2:
					version++
					f, err := ns.Open(nil, config+".new", syscall.O_CREAT|syscall.O_WRONLY|syscall.O_TRUNC, 0o600)
					must(err)
					_, err = f.Write(configuration(version))
					must(err)
					must(f.Sync())
					must(f.Close())
					must(ns.Rename(nil, config+".new", nil, config, 0))
					d, err := ns.Open(nil, "/", syscall.O_DIRECTORY, 0)
					must(err)
					must(d.Sync())
					must(d.Close())
					keep(config, version)
				case 3:
					dir := fmt.Sprintf("/d%d-%d", w, i)
					must(ns.Mkdir(nil, dir, 0o755))
					for j := range 5 {
						f, err := ns.Open(nil, fmt.Sprint(dir, "/", j), syscall.O_CREAT|syscall.O_RDWR, 0o600)
						must(err)
						_, err = f.Pwrite(make([]byte, rnd.IntN(30000)), int64(rnd.IntN(100000)))
						must(err)
						if rnd.IntN(2) == 0 {
							must(f.Truncate(int64(rnd.IntN(60000))))
						}
						if rnd.IntN(2) == 0 {
							must(f.Fallocate(abi.FALLOC_FL_PUNCH_HOLE|abi.FALLOC_FL_KEEP_SIZE, 5000, 20000))
						}
						if rnd.IntN(3) == 0 {
							must(f.Sync())
						}
						must(f.Close())
						if rnd.IntN(2) == 0 {
							must(ns.Unlink(nil, fmt.Sprint(dir, "/", j), 0))
						}
					}
				case 4:
					_ = ns.Rename(nil, fmt.Sprintf("/d%d-%d", w, rnd.IntN(i+1)), nil, fmt.Sprintf("/moved%d-%d", w, i), 0)
				}
			}
		})
	}
	wg.Wait()
	return all
}

// verify mounts what a power cut has left, and returns what is wrong with it.
func verify(img []byte, n int, all []promise) (problem string) {
	pages := pagecache.New(pagecache.Options{Limit: 4096})
	defer pages.Close()
	mounted, err := ext4.Mount(block.NewMemory(img, 512), ext4.Options{Pages: pages})
	if err != nil {
		return err.Error()
	}
	ns := vfs.New(mounted)
	defer func() {
		if err := mounted.Unmount(); err != nil && problem == "" {
			problem = err.Error()
		}
	}()
	read := func(path string) ([]byte, error) {
		f, err := ns.Open(nil, path, 0, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		p := make([]byte, st.Size)
		_, err = f.Pread(p, 0)
		return p, err
	}
	for _, p := range all {
		if p.at > n {
			continue
		}
		got, err := read(p.path)
		if err != nil {
			return fmt.Sprintf("%s: %v", p.path, err)
		}
		if p.path[1] == 'c' {
			if len(got) < 8 {
				return fmt.Sprintf("%s: %d bytes", p.path, len(got))
			}
			version := binary.LittleEndian.Uint64(got)
			if want := configuration(version); version < p.number || string(got) != string(want) {
				return fmt.Sprintf("%s: version %d of %d bytes, promised was %d", p.path, version, len(got), p.number)
			}
			continue
		}
		log := int(p.path[len(p.path)-1] - '0')
		for i := range int(p.number) {
			if len(got) < (i+1)*recordSize || string(got[i*recordSize:][:recordSize]) != string(record(log, i)) {
				return fmt.Sprintf("%s: record %d of %d is not there (size %d)", p.path, i, p.number, len(got))
			}
		}
	}
	return ""
}

// TestPowerCut cuts the power at random moments, with a disk that loses and tears what was not
// flushed, and then mounts what is left.
func TestPowerCut(t *testing.T) {
	for _, name := range []string{"1k", "4k", "nocsum"} {
		t.Run(name, func(t *testing.T) {
			rec := blocktest.NewRecorder(emptyImage(t, "24M", variations[name]...), sector)
			rec.Async = true
			_, ns, end := mountDevice(t, rec)
			all := workload(t, ns, rec, 60)
			total := rec.Len()
			end()
			require.NotEmpty(t, all)
			rnd := rand.New(rand.NewPCG(7, 8))
			for i := range 40 {
				n := rnd.IntN(total)
				img := rec.Torn(n, uint64(i))
				if i%4 == 0 {
					// Another system recovers it.
					out, err := fsck(t, img, "journal_only")
					require.NoError(t, err, "after %d of %d: %s", n, total, out)
				}
				require.Empty(t, verify(img, n, all), "after %d of %d entries, seed %d", n, total, i)
				check(t, img)
			}
		})
	}
}

// TestPowerCutControl is the negative control: a disk that does not obey flushes is noticed.
func TestPowerCutControl(t *testing.T) {
	rec := blocktest.NewRecorder(emptyImage(t, "24M", variations["4k"]...), sector)
	rec.LoseFlushes = true
	_, ns, end := mountDevice(t, rec)
	all := workload(t, ns, rec, 30)
	total := rec.Len()
	end()
	noticed := 0
	for i := range 10 {
		if verify(rec.Torn(total, uint64(i)), total, all) != "" {
			noticed++
		}
	}
	require.Greater(t, noticed, 5)
}
