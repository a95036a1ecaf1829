package block

import (
	"sync"
	"syscall"
)

// Memory is a device in memory. It completes requests before Submit returns.
type Memory struct {
	mu   sync.RWMutex
	info Info
	data []byte
}

// NewMemory returns a device that consists of data; it is not copied. Its
// logical blocks have the given size, which divides that of data.
func NewMemory(data []byte, logicalBlock int) *Memory {
	size := int64(len(data))
	return &Memory{data: data, info: Info{
		Size: size, LogicalBlock: logicalBlock, PhysicalBlock: max(logicalBlock, 4096),
		MaxDiscard: size, DiscardAlign: int64(logicalBlock), MaxWriteZeroes: size,
	}}
}

// Info implements Device.
func (m *Memory) Info() Info { return m.info }

// Submit implements Device.
func (m *Memory) Submit(r *Request) { r.Done(r, m.do(r)) }

func (m *Memory) do(r *Request) error {
	if err := m.info.Check(r); err != nil {
		return err
	}
	if r.Op == Read {
		m.mu.RLock()
		defer m.mu.RUnlock()
		at := m.data[r.Off:]
		for _, p := range r.Parts {
			at = at[copy(p, at):]
		}
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r.Op {
	case Write:
		at := m.data[r.Off:]
		for _, p := range r.Parts {
			at = at[copy(at, p):]
		}
	case Discard, WriteZeroes:
		clear(m.data[r.Off : r.Off+r.Length])
	case FlushCache:
	default:
		return syscall.EOPNOTSUPP
	}
	return nil
}
