package linux

import (
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// shared are the mappings of files that live in the memory of the mapping.
var shared sharedMaps

type sharedMaps struct {
	mu   sync.Mutex
	list []*sharedMap
}

type sharedMap struct {
	at, length uintptr // whole pages
	file       *vfs.File
	end        func()
}

// mapShared maps a file into fresh memory.
func mapShared(f *vfs.File, addr, length uintptr, prot, flags int, offset int64) (uintptr, syscall.Errno) {
	length = pages(length)
	at, err := mmap(addr, length, syscall.PROT_READ|syscall.PROT_WRITE, flags&^mapTypeMask|syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != 0 {
		return 0, err
	}
	end, mapErr := f.Map(offset, unsafe.Slice((*byte)(pointer(at)), length), prot&syscall.PROT_WRITE != 0)
	if mapErr != nil {
		munmap(at, length)
		return 0, errno(mapErr)
	}
	f.IncRef()
	shared.mu.Lock()
	shared.list = append(shared.list, &sharedMap{at, length, f, end})
	shared.mu.Unlock()
	return at, 0
}

// find returns the mappings that have any of the memory.
func (s *sharedMaps) find(at, length uintptr) (found []*sharedMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.list {
		if m.at < at+length && at < m.at+m.length {
			found = append(found, m)
		}
	}
	return found
}

// unmap ends the mappings in the memory; a part of one cannot end: EINVAL.
func (s *sharedMaps) unmap(at, length uintptr) syscall.Errno {
	found := s.find(at, length)
	for _, m := range found {
		if m.at < at || m.at+m.length > at+length {
			return syscall.EINVAL
		}
	}
	for _, m := range found {
		s.mu.Lock()
		i := slices.Index(s.list, m)
		if i >= 0 {
			s.list = slices.Delete(s.list, i, i+1)
		}
		s.mu.Unlock()
		if i >= 0 {
			m.end()
			m.file.Close()
		}
	}
	return 0
}
