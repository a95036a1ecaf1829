package netlink

import (
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestIoctl(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	named := func(name string) *ifreq {
		r := new(ifreq)
		setName(r, name)
		return r
	}
	call := func(request uint, r *ifreq) syscall.Errno { return c.Ioctl(request, unsafe.Pointer(r)) }
	inet4 := func(a, b, c, d byte) unix.RawSockaddrInet4 {
		return unix.RawSockaddrInet4{Family: syscall.AF_INET, Addr: [4]byte{a, b, c, d}}
	}
	set := func(request uint, a unix.RawSockaddrInet4) syscall.Errno {
		r := named("eth0")
		*as[unix.RawSockaddrInet4](r) = a
		return call(request, r)
	}
	get := func(request uint) (unix.RawSockaddrInet4, syscall.Errno) {
		r := named("eth0")
		err := call(request, r)
		return *as[unix.RawSockaddrInet4](r), err
	}
	assert.Equal(t, syscall.ENOTTY, call(unix.TCGETS, named("eth0")))
	assert.Equal(t, syscall.EFAULT, c.Ioctl(unix.SIOCGIFMTU, nil))
	assert.Equal(t, syscall.ENODEV, call(unix.SIOCGIFMTU, named("eth7")))

	_, err := get(unix.SIOCGIFADDR)
	assert.Equal(t, syscall.EADDRNOTAVAIL, err)
	require.Zero(t, set(unix.SIOCSIFADDR, inet4(192, 0, 2, 5)))
	assert.Equal(t, []string{"192.0.2.5/24"}, texts(t, c, 2), "by its class")
	require.Zero(t, set(unix.SIOCSIFNETMASK, inet4(255, 255, 0, 0)))
	assert.Equal(t, []string{"192.0.2.5/16"}, texts(t, c, 2))
	assert.Equal(t, []string{"192.0.0.0/16 src 192.0.2.5"}, mainRoutes(t, c, syscall.AF_INET))
	assert.Equal(t, syscall.EINVAL, set(unix.SIOCSIFNETMASK, inet4(255, 0, 255, 0)))
	assert.Equal(t, syscall.EINVAL, set(unix.SIOCSIFADDR, unix.RawSockaddrInet4{Family: syscall.AF_INET6}))
	for request, want := range map[uint]unix.RawSockaddrInet4{
		unix.SIOCGIFADDR: inet4(192, 0, 2, 5), unix.SIOCGIFNETMASK: inet4(255, 255, 0, 0), unix.SIOCGIFBRDADDR: inet4(192, 0, 255, 255),
	} {
		a, err := get(request)
		assert.Zero(t, err)
		assert.Equal(t, want, a)
	}

	r := named("eth0")
	require.Zero(t, call(unix.SIOCGIFHWADDR, r))
	assert.Equal(t, []byte{1, 0, 2, 0, 0, 0, 0, 1}, r.data[:8])
	r = named("eth0")
	*as[int32](r) = 1400
	require.Zero(t, call(unix.SIOCSIFMTU, r))
	assert.Equal(t, 1400, f.stack.Link(2).MTU())
	*as[int32](r) = -1
	assert.Equal(t, syscall.EINVAL, call(unix.SIOCSIFMTU, r))
	r = named("eth0")
	require.Zero(t, call(unix.SIOCSIFFLAGS, r))
	assert.False(t, f.stack.Link(2).Up())
	*as[uint16](r) = unix.IFF_UP
	require.Zero(t, call(unix.SIOCSIFFLAGS, r))
	assert.True(t, f.stack.Link(2).Up())
	r = new(ifreq)
	*as[int32](r) = 2
	require.Zero(t, call(unix.SIOCGIFNAME, r))
	assert.Equal(t, "eth0", text(r.name[:]))

	var list [3]ifreq
	conf := ifconf{size: int32(unsafe.Sizeof(list)) - 1, list: unsafe.Pointer(&list)}
	require.Zero(t, c.Ioctl(unix.SIOCGIFCONF, unsafe.Pointer(&conf)))
	assert.EqualValues(t, 80, conf.size)
	assert.Equal(t, "lo", text(list[0].name[:]))
	assert.Equal(t, "eth0", text(list[1].name[:]))
	conf = ifconf{}
	require.Zero(t, c.Ioctl(unix.SIOCGIFCONF, unsafe.Pointer(&conf)))
	assert.EqualValues(t, 80, conf.size, "how much room it takes")

	name := []byte("eth0\x00")
	route := rtentry{destination: inet4(0, 0, 0, 0), netmask: inet4(0, 0, 0, 0), gateway: inet4(192, 0, 2, 1),
		flags: unix.RTF_UP | unix.RTF_GATEWAY, device: &name[0], metric: 4}
	change := func(request uint) syscall.Errno { return c.Ioctl(request, unsafe.Pointer(&route)) }
	require.Zero(t, change(unix.SIOCADDRT))
	assert.Equal(t, []string{"192.0.0.0/16 src 192.0.2.5", "0.0.0.0/0 via 192.0.2.1 metric 3"}, mainRoutes(t, c, syscall.AF_INET))
	assert.Equal(t, syscall.EEXIST, change(unix.SIOCADDRT))
	require.Zero(t, change(unix.SIOCDELRT))
	assert.Equal(t, syscall.ESRCH, change(unix.SIOCDELRT))
	require.Zero(t, set(unix.SIOCSIFADDR, inet4(0, 0, 0, 0)))
	assert.Empty(t, texts(t, c, 2))
	assert.EqualValues(t, 120, unsafe.Sizeof(rtentry{}))
	assert.EqualValues(t, 40, unsafe.Sizeof(ifreq{}))
}

// TestManyAtOnce has subscribers come and go, lists be read and addresses change at the same time.
func TestManyAtOnce(t *testing.T) {
	f := newFamily(t, true)
	var all sync.WaitGroup
	for i := range byte(4) {
		all.Go(func() {
			c := dial(t, f, unix.NETLINK_ROUTE)
			for j := range byte(20) {
				address := "192.0." + string('0'+rune(i)) + "." + string('1'+rune(j%9)) + "/24"
				assert.Zero(t, do(t, c, newAddr(create, 2, address)))
				b := newAddr(unix.NLM_F_ACK, 2, address)
				b[4] = unix.RTM_DELADDR
				assert.Zero(t, do(t, c, b))
			}
		})
		all.Go(func() {
			for range 20 {
				s, err := f.Socket(syscall.SOCK_RAW, unix.NETLINK_ROUTE)
				assert.Zero(t, err)
				// Room for whatever is told before this goroutine runs again: ENOBUFS has a test of its own.
				assert.Zero(t, s.SetOption(syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, []byte{0, 0, 0, 4}))
				assert.Zero(t, s.Bind(nladdr(0, unix.RTMGRP_IPV4_IFADDR|unix.RTMGRP_IPV4_ROUTE)))
				f.Changed()
				for receive(t, s) != nil {
				}
				dumpOf(t, s, unix.RTM_GETROUTE, 0)
				s.Close()
			}
		})
	}
	all.Wait()
	f.changes.Lock()
	defer f.changes.Unlock()
	assert.Nil(t, f.known, "nobody listens any more")
	assert.Empty(t, f.buses[unix.NETLINK_ROUTE].joined)
}
