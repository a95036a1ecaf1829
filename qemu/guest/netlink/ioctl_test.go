package netlink

import (
	"net"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestIoctls asks in the old way what package net knows in the new one (netdevice(7)).
func TestIoctls(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	for _, name := range []string{"lo"} {
		i, err := net.InterfaceByName(name)
		require.NoError(t, err)
		r, err := unix.NewIfreq(name)
		require.NoError(t, err)
		get := func(request uint) { require.NoError(t, unix.IoctlIfreq(fd, request, r)) }
		get(unix.SIOCGIFINDEX)
		assert.EqualValues(t, i.Index, r.Uint32())
		get(unix.SIOCGIFMTU)
		assert.EqualValues(t, i.MTU, r.Uint32())
		get(unix.SIOCGIFFLAGS)
		assert.EqualValues(t, unix.IFF_UP|unix.IFF_LOOPBACK|unix.IFF_RUNNING, r.Uint16())
		get(unix.SIOCGIFADDR)
		a, err := r.Inet4Addr()
		require.NoError(t, err)
		assert.Equal(t, []byte{127, 0, 0, 1}, a)
		get(unix.SIOCGIFNETMASK)
		a, err = r.Inet4Addr()
		require.NoError(t, err)
		assert.Equal(t, []byte{255, 0, 0, 0}, a)
		get(unix.SIOCGIFHWADDR)
		assert.EqualValues(t, unix.ARPHRD_LOOPBACK, r.Uint16())
		get(unix.SIOCGIFTXQLEN)
		assert.EqualValues(t, 1000, r.Uint32())
		r.SetUint32(uint32(i.Index))
		get(unix.SIOCGIFNAME)
		assert.Equal(t, name, r.Name())
	}
	r, err := unix.NewIfreq("none")
	require.NoError(t, err)
	assert.Equal(t, unix.ENODEV, unix.IoctlIfreq(fd, unix.SIOCGIFMTU, r))

	type ifreq struct {
		name [16]byte
		data [24]byte
	}
	var list [50]ifreq
	conf := struct {
		size int32
		list *ifreq
	}{int32(unsafe.Sizeof(list)), &list[0]}
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), unix.SIOCGIFCONF, uintptr(unsafe.Pointer(&conf)))
	require.Zero(t, errno)
	require.NotZero(t, conf.size)
	assert.Zero(t, conf.size%int32(unsafe.Sizeof(ifreq{})))
	assert.Equal(t, "lo", unix.ByteSliceToString(list[0].name[:]))
	assert.Equal(t, []byte{unix.AF_INET, 0, 0, 0, 127, 0, 0, 1}, list[0].data[:8])

	// A netlink socket does the same.
	other, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer unix.Close(other)
	r, err = unix.NewIfreq("lo")
	require.NoError(t, err)
	require.NoError(t, unix.IoctlIfreq(other, unix.SIOCGIFINDEX, r))
	assert.EqualValues(t, 1, r.Uint32())
}
