package socket

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestControl has package syscall read what AppendControl writes, and NextControl what it writes.
func TestControl(t *testing.T) {
	m := Message{Control: make([]byte, 0, 200)}
	for n := range 10 {
		m.AppendControl(1, n, make([]byte, n))
	}
	assert.Equal(t, syscall.MSG_CTRUNC, m.Flags, "16 bytes each and the data, padded to 8, are more than 200")
	got, err := syscall.ParseSocketControlMessage(m.Control)
	require.NoError(t, err)
	require.Len(t, got, 9)
	for n, c := range got[:8] {
		assert.Equal(t, syscall.Cmsghdr{Len: uint64(16 + n), Level: 1, Type: int32(n)}, c.Header)
	}
	assert.Equal(t, syscall.Cmsghdr{Len: 16, Level: 1, Type: 8}, got[8].Header, "cut")

	rights := syscall.UnixRights(3, 4)
	both := append(append([]byte(nil), rights...), syscall.UnixCredentials(&syscall.Ucred{Pid: 5})...)
	level, kind, data, rest, ok, no := NextControl(append(both, 1, 2, 3))
	assert.Equal(t, []any{1, syscall.SCM_RIGHTS, true, syscall.Errno(0)}, []any{level, kind, ok, no})
	assert.Equal(t, []byte{3, 0, 0, 0, 4, 0, 0, 0}, data)
	level, kind, data, rest, ok, no = NextControl(rest)
	assert.Equal(t, []any{1, syscall.SCM_CREDENTIALS, true, syscall.Errno(0)}, []any{level, kind, ok, no})
	assert.Equal(t, byte(5), data[0])
	_, _, _, _, ok, no = NextControl(rest)
	assert.Equal(t, []any{false, syscall.Errno(0)}, []any{ok, no})

	for _, length := range []uint64{0, 15, uint64(len(rights)) + 1, 1 << 63} {
		bad := append([]byte(nil), rights...)
		*(*uint64)(unsafe.Pointer(&bad[0])) = length
		_, _, _, _, ok, no := NextControl(bad)
		assert.Equal(t, []any{false, syscall.EINVAL}, []any{ok, no})
	}
}

func TestAppendControlCuts(t *testing.T) {
	for room := range 60 {
		m := Message{Control: make([]byte, 0, room)}
		m.AppendControl(1, 2, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
		whole := room >= ControlLength(12)
		assert.Equal(t, whole, m.Flags == 0, room)
		switch {
		case room < 16:
			assert.Empty(t, m.Control)
		case !whole:
			assert.Len(t, m.Control, room)
		default:
			assert.Len(t, m.Control, min(room, 32))
		}
	}
}

func TestAddress(t *testing.T) {
	var a Address
	assert.Empty(t, a.Bytes())
	a.Set([]byte("address"))
	assert.Equal(t, "address", string(a.Bytes()))
	a.Length = 1000
	assert.Len(t, a.Bytes(), AddressSize)
}

func TestLookup(t *testing.T) {
	for _, n := range []int{-1, 0, 45, 46, 1 << 40} {
		assert.Nil(t, Lookup(n))
	}
}
