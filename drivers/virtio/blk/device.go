// Package blk drives virtio block devices (Virtual I/O Device 1.2, section
// 5.2) as disks of package block. Nothing is copied.
//
// A request becomes one or more commands to the device, what the specification
// calls requests: as many as its length and its pieces of memory need. Requests
// that wait for room in the queue and are about neighbouring parts of the disk
// share a command, and so do waiting flushes.
//
// A goroutine for each queue takes what the device has completed and calls
// Request.Done; it goes on without interrupts as long as it finds something.
//
// A device that breaks the rules is put out of service: what it had fails with
// EIO, all else with ENXIO.
package blk

import (
	"errors"
	"math"
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/fs/block"
)

// The ways of a block device to break the rules; see package virtio.
var (
	// ErrBlockSize says that blk_size is no power of two from 512 to 4096.
	ErrBlockSize = errors.New("has a block size that is no power of two from 512 to 4096")
	// ErrCapacity says that the disk has 8 EiB or more.
	ErrCapacity = errors.New("claims an impossible capacity")
	// ErrQueues says that num_queues is 0 (5.2.4).
	ErrQueues = errors.New("offers several queues and has none")
	// ErrLimits says that no request for a single block satisfies size_max,
	// seg_max and the size of the queue.
	ErrLimits = errors.New("has limits that no request can satisfy")
	// ErrStatus says that the status of a request is none of 5.2.6.
	ErrStatus = errors.New("has completed a request without a status")
	// ErrShort says that a read was successful without all of its data.
	ErrShort = errors.New("has completed a read without filling its buffers")
)

const (
	maxBlock = 4096
	// maxPhysicalExp keeps physical_block_exp below 1 MiB, where it still can
	// be meant.
	maxPhysicalExp = 8
	// maxSegments leaves room for several commands in a queue.
	maxSegments = 62
	// maxCommand is how many bytes a command reads or writes at most, so that
	// long requests keep several of the host's threads busy.
	maxCommand = 1 << 20
)

// Options are the wishes of the machine.
type Options struct {
	// Queues is how many queues are wanted at most, one for each CPU. There
	// are fewer if the device has fewer queues or interrupts.
	Queues int
	// CPU returns the number of the CPU that the caller runs on, which
	// chooses the queue. It may be nil if Queues is at most 1.
	CPU func() int
	// Busy is called when a request begins to wait for the device, and Done
	// after its own Done was called. They may be nil.
	Busy, Done func()
	// QueueSize is the largest size of a queue, a power of two; 0 is 128.
	QueueSize int
}

// A Device is a block device. It implements block.Device; what Info says of
// its size changes when the device is resized.
type Device struct {
	dev     *virtio.Device
	options Options
	info    block.Info // without the size
	size    atomic.Int64
	queues  []*queue

	segMax, sizeMax int // of a command: segments, and bytes of each
}

var _ block.Device = (*Device)(nil)

// Open takes a device into service.
func Open(t virtio.Transport, m platform.Memory, o Options) (*Device, error) {
	if o.QueueSize == 0 {
		o.QueueSize = 128
	}
	if o.Busy == nil {
		o.Busy, o.Done = func() {}, func() {}
	}
	dev, err := virtio.Open(t, m, choose)
	if err != nil {
		return nil, err
	}
	d := &Device{dev: dev, options: o}
	if err := d.setup(); err != nil {
		dev.Close()
		return nil, err
	}
	for _, q := range d.queues {
		go q.serve()
	}
	if len(t.Interrupts()) > 1 {
		go d.watch()
	}
	go d.abandon()
	return d, nil
}

// choose accepts what the driver knows.
func choose(offered uint64) uint64 {
	return offered & (VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE |
		VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_MQ |
		VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES)
}

func (d *Device) setup() error {
	if err := d.configure(); err != nil {
		return err
	}
	largest := 1
	if d.dev.Has(VIRTIO_BLK_F_MQ) {
		if largest = int(d.dev.Transport().Config16(configNumQueues)); largest == 0 {
			return d.dev.Fail(virtio.NoQueue, ErrQueues, 0, 0)
		}
	}
	// A queue has an interrupt of its own, or there is one queue.
	for i := range max(1, min(d.options.Queues, largest, len(d.dev.Transport().Interrupts())-1)) {
		q, err := newQueue(d, i)
		if err != nil {
			return err
		}
		d.queues = append(d.queues, q)
	}
	return d.dev.Start()
}

// configure reads what does not change.
func (d *Device) configure() error {
	i := block.Info{LogicalBlock: sectorSize, ReadOnly: d.dev.Has(VIRTIO_BLK_F_RO)}
	var physicalExp uint8
	var discard, align, zeroes uint32
	cache := d.dev.Has(VIRTIO_BLK_F_FLUSH)
	segMax, sizeMax := uint32(1), uint32(math.MaxUint32)
	err := d.dev.ReadConfig(func(t virtio.Transport) {
		if d.dev.Has(VIRTIO_BLK_F_BLK_SIZE) {
			i.LogicalBlock = int(t.Config32(configBlkSize))
		}
		if d.dev.Has(VIRTIO_BLK_F_TOPOLOGY) {
			physicalExp = t.Config8(configPhysicalBlockExp)
		}
		if d.dev.Has(VIRTIO_BLK_F_SEG_MAX) {
			segMax = t.Config32(configSegMax)
		}
		if d.dev.Has(VIRTIO_BLK_F_SIZE_MAX) {
			sizeMax = t.Config32(configSizeMax)
		}
		if d.dev.Has(VIRTIO_BLK_F_CONFIG_WCE) {
			cache = d.dev.Has(VIRTIO_BLK_F_FLUSH) && t.Config8(configWriteback) != 0
		}
		if d.dev.Has(VIRTIO_BLK_F_DISCARD) {
			discard, align = t.Config32(configMaxDiscardSectors), t.Config32(configDiscardAlignment)
		}
		if d.dev.Has(VIRTIO_BLK_F_WRITE_ZEROES) {
			zeroes = t.Config32(configMaxWriteZeroesSectors)
		}
	})
	if err != nil {
		return err
	}
	if b := i.LogicalBlock; b < sectorSize || b > maxBlock || b&(b-1) != 0 {
		return d.dev.Fail(virtio.NoQueue, ErrBlockSize, uint64(uint(b)), 0)
	}
	i.PhysicalBlock = i.LogicalBlock
	if physicalExp <= maxPhysicalExp {
		i.PhysicalBlock <<= physicalExp
	}
	i.VolatileCache = cache
	whole := func(sectors uint32) int64 { return int64(sectors) * sectorSize &^ int64(i.LogicalBlock-1) }
	i.MaxDiscard, i.MaxWriteZeroes = whole(discard), whole(zeroes)
	if i.MaxDiscard > 0 {
		i.DiscardAlign = max(whole(align), int64(i.LogicalBlock))
	}
	d.info = i
	d.segMax, d.sizeMax = int(min(segMax, maxSegments)), int(min(sizeMax, maxCommand))
	return d.readSize()
}

// readSize reads the capacity.
func (d *Device) readSize() error {
	var sectors uint64
	err := d.dev.ReadConfig(func(t virtio.Transport) {
		sectors = uint64(t.Config32(configCapacity)) | uint64(t.Config32(configCapacity+4))<<32
	})
	if err != nil {
		return err
	}
	if sectors > math.MaxInt64/sectorSize {
		return d.dev.Fail(virtio.NoQueue, ErrCapacity, sectors, math.MaxInt64/sectorSize)
	}
	d.size.Store(int64(sectors) * sectorSize &^ int64(d.info.LogicalBlock-1))
	return nil
}

// interrupt returns the index of a queue's interrupt.
func (d *Device) interrupt(queue int) int {
	if len(d.dev.Transport().Interrupts()) == 1 {
		return 0
	}
	return 1 + queue
}

// watch waits for changes of the configuration that have an interrupt of their
// own.
func (d *Device) watch() {
	for changed := d.dev.Transport().Interrupts()[0]; ; {
		changed.Wait()
		if d.configChanged() != nil {
			return
		}
	}
}

func (d *Device) configChanged() error {
	if err := d.dev.CheckStatus(); err != nil {
		return err
	}
	return d.readSize()
}

// abandon fails all requests when the device is out of service.
func (d *Device) abandon() {
	<-d.dev.Done()
	for _, q := range d.queues {
		q.abandon()
	}
}

// Info implements block.Device.
func (d *Device) Info() block.Info {
	i := d.info
	i.Size = d.size.Load()
	return i
}

// Submit implements block.Device.
func (d *Device) Submit(r *block.Request) {
	info := d.Info()
	if err := info.Check(r); err != nil {
		r.Done(r, err)
		return
	}
	if d.dev.Err() != nil {
		r.Done(r, syscall.ENXIO)
		return
	}
	n := r.Bytes()
	if r.Op == block.FlushCache {
		n = 0
	}
	if n == 0 && (r.Op != block.FlushCache || !info.VolatileCache) {
		r.Done(r, nil)
		return
	}
	q := d.queues[0]
	if len(d.queues) > 1 {
		q = d.queues[d.options.CPU()%len(d.queues)]
	}
	q.submit(r, n)
}

// Err returns why the device is out of service, nil while it serves.
func (d *Device) Err() error { return d.dev.Err() }

// Close takes the device out of service.
func (d *Device) Close() { d.dev.Close() }
