//go:build goshawk && !goshawk_nodisks

package boot

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

const (
	chunkSize = 1 << 20 // of the memory that is mapped for pages at once, bytes
	hotPages  = 256     // free pages that keep their frames
	madvFree  = syscall.MADV_DONTNEED
)

// pagePool is memory for the page cache. It lies outside of the Go heap, which would grow to twice of
// what is cached before it is collected. Free pages but for a few give their frames back.
type pagePool struct {
	cache *pagecache.Cache
	low   uint64 // below so much free memory the cache gives pages back before it gets others, bytes

	mu        sync.Mutex
	hot, cold [][]byte // free pages, with and without frames
}

// newPages returns a page cache that may take a quarter of the memory.
func newPages() *pagecache.Cache {
	total, _ := nucleus.MemInfo()
	p := &pagePool{low: total / 8}
	p.cache = pagecache.New(pagecache.Options{Limit: int(total / 4 / pagecache.PageSize), Alloc: p.alloc, Free: p.free})
	go p.watch()
	return p.cache
}

// watch gives pages back when the program needs the memory.
func (p *pagePool) watch() {
	for {
		nucleus.WatchMemory(p.low)
		nucleus.Wait(nucleus.LineMemory)
		for {
			if _, free := nucleus.MemInfo(); free >= p.low+p.low/2 {
				break
			}
			if p.cache.Shrink(4*hotPages) == 0 {
				time.Sleep(100 * time.Millisecond) // dirty pages are being written; or the program has it all
				break
			}
		}
	}
}

// take returns a free page, nil if there is none.
func (p *pagePool) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range [2]*[][]byte{&p.hot, &p.cold} {
		if n := len(*list); n > 0 {
			page := (*list)[n-1]
			*list = (*list)[:n-1]
			return page
		}
	}
	return nil
}

func (p *pagePool) alloc() []byte {
	if _, free := nucleus.MemInfo(); free < p.low {
		p.cache.Shrink(hotPages / 8)
	}
	if page := p.take(); page != nil {
		return page
	}
	at, err := nucleus.Mmap(0, chunkSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != 0 {
		p.cache.Shrink(1)
		return p.take()
	}
	chunk := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), chunkSize)
	p.mu.Lock()
	for off := pagecache.PageSize; off < chunkSize; off += pagecache.PageSize {
		p.cold = append(p.cold, chunk[off:off+pagecache.PageSize:off+pagecache.PageSize])
	}
	p.mu.Unlock()
	return chunk[:pagecache.PageSize:pagecache.PageSize]
}

func (p *pagePool) free(page []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.hot) < hotPages {
		p.hot = append(p.hot, page)
		return
	}
	nucleus.Madvise(uintptr(unsafe.Pointer(unsafe.SliceData(page))), pagecache.PageSize, madvFree)
	p.cold = append(p.cold, page)
}
