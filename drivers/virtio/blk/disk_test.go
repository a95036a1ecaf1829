package blk

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
)

const everything = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY |
	VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_MQ | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES |
	virtio.VIRTIO_F_EVENT_IDX | virtio.VIRTIO_F_INDIRECT_DESC

const sectors = 1 << 14 // 8 MiB

// asked is a command as the device saw it.
type asked struct {
	kind     uint32
	off      int64
	bytes    int
	segments int
}

// disk is a fake block device that keeps its content in memory.
type disk struct {
	*fake.Device
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // held by a test, it keeps the device from working
	data   []byte
	asked  []asked
	status func(a asked) byte // may be nil
	// push returns a chain; nil is Queue.Push.
	push func(q *fake.Queue, c fake.Chain, written uint32)
}

func newDisk(t testing.TB, features uint64, queues, size, vectors int) *disk {
	d := &disk{
		Device: fake.New(virtio.VIRTIO_ID_BLOCK, features, queues, size, vectors),
		stop:   make(chan struct{}), data: make([]byte, sectors*sectorSize),
	}
	d.Config = make([]byte, 60)
	d.set64(configCapacity, sectors)
	d.set32(configSizeMax, 1<<16)
	d.set32(configSegMax, 30)
	d.set32(configBlkSize, 512)
	d.Config[configPhysicalBlockExp] = 3
	d.Config[configWriteback] = 1
	d.Config[configNumQueues] = byte(queues)
	d.set32(configMaxDiscardSectors, 1<<10)
	d.set32(configDiscardAlignment, 8)
	d.set32(configMaxWriteZeroesSectors, 1<<11)
	for _, q := range d.Queues {
		d.done.Go(func() { d.work(q) })
	}
	t.Cleanup(func() {
		close(d.stop)
		d.done.Wait()
	})
	return d
}

func (d *disk) set32(off int, v uint32) { binary.LittleEndian.PutUint32(d.Config[off:], v) }
func (d *disk) set64(off int, v uint64) { binary.LittleEndian.PutUint64(d.Config[off:], v) }

// open takes the disk into service.
func (d *disk) open(t testing.TB, o Options) *Device {
	dev, err := Open(d, d.Memory, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		dev.Close()
		for _, v := range d.Vectors {
			v.Raise() // so that its goroutines end
		}
	})
	return dev
}

func (d *disk) work(q *fake.Queue) {
	for {
		select {
		case <-d.stop:
			return
		case <-q.Notified:
		}
		for {
			d.mu.Lock()
			c, ok := q.Pop()
			if !ok {
				d.mu.Unlock()
				break
			}
			written := d.execute(c)
			push := d.push
			d.mu.Unlock()
			if push != nil {
				push(q, c, written)
			} else {
				q.Push(c.ID, written)
			}
		}
	}
}

// execute does a request as 5.2.6 says and returns how many bytes it has written.
func (d *disk) execute(c fake.Chain) (written uint32) {
	if len(c.Read[0]) != reqHeader || len(c.Write[len(c.Write)-1]) != 1 {
		panic("header or status have no descriptor of their own")
	}
	status := c.Write[len(c.Write)-1]
	header, data := c.Read[0], c.Read[1:]
	a := asked{kind: binary.LittleEndian.Uint32(header), off: int64(binary.LittleEndian.Uint64(header[reqSector:])) * sectorSize}
	if a.kind == VIRTIO_BLK_T_IN {
		data = c.Write[:len(c.Write)-1]
	}
	for _, p := range data {
		a.bytes += len(p)
		a.segments++
		if a.kind <= VIRTIO_BLK_T_OUT && d.Accepted()&VIRTIO_BLK_F_SIZE_MAX != 0 && len(p) > int(binary.LittleEndian.Uint32(d.Config[configSizeMax:])) {
			panic("a segment is too long")
		}
	}
	if a.kind <= VIRTIO_BLK_T_OUT && a.bytes%int(binary.LittleEndian.Uint32(d.Config[configBlkSize:])) != 0 {
		panic(fmt.Sprint("no whole blocks: ", a))
	}
	result := byte(VIRTIO_BLK_S_OK)
	if d.status != nil {
		result = d.status(a)
	}
	off := a.off
	switch a.kind {
	case VIRTIO_BLK_T_IN:
		for _, p := range data {
			copy(p, d.data[off:])
			off += int64(len(p))
			written += uint32(len(p))
		}
	case VIRTIO_BLK_T_OUT:
		if result == VIRTIO_BLK_S_OK {
			for _, p := range data {
				copy(d.data[off:], p)
				off += int64(len(p))
			}
		}
	case VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES:
		p := data[0]
		a.off = int64(binary.LittleEndian.Uint64(p)) * sectorSize
		a.bytes = int(binary.LittleEndian.Uint32(p[rangeNumSectors:])) * sectorSize
		clear(d.data[a.off : a.off+int64(a.bytes)])
	case VIRTIO_BLK_T_FLUSH:
	default:
		result = VIRTIO_BLK_S_UNSUPP
	}
	d.asked = append(d.asked, a)
	status[0] = result
	return written + 1
}

// seen returns the commands since the last call.
func (d *disk) seen() []asked {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.asked
	d.asked = nil
	return list
}

// answer chooses the status of the commands from now on.
func (d *disk) answer(status func(a asked) byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = status
}
