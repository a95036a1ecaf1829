package block

import (
	"sync"
	"syscall"
)

// Partition is a range of a device.
type Partition struct {
	whole Device
	start int64
	info  Info
}

// NewPartition returns the device that consists of size bytes of another one
// from start on, both multiples of its logical block: EINVAL if they are not,
// or do not lie in the device.
func NewPartition(whole Device, start, size int64) (*Partition, error) {
	info := whole.Info()
	if start < 0 || size < 0 || start > info.Size || size > info.Size-start || (start|size)&int64(info.LogicalBlock-1) != 0 {
		return nil, syscall.EINVAL
	}
	info.Size = size
	return &Partition{whole: whole, start: start, info: info}, nil
}

// Info implements Device.
func (p *Partition) Info() Info { return p.info }

// moved is a request to the whole device, made of one to a partition.
type moved struct {
	Request
	from *Request
	call func(*Request, error) // made once
}

var movedPool sync.Pool

func init() {
	movedPool.New = func() any {
		m := &moved{}
		m.call = func(_ *Request, err error) {
			r := m.from
			m.from, m.Request = nil, Request{}
			movedPool.Put(m)
			r.Done(r, err)
		}
		return m
	}
}

// Submit implements Device.
func (p *Partition) Submit(r *Request) {
	if err := p.info.Check(r); err != nil {
		r.Done(r, err)
		return
	}
	m := movedPool.Get().(*moved)
	m.Request, m.from = *r, r
	m.Off += p.start
	m.Done = m.call
	p.whole.Submit(&m.Request)
}
