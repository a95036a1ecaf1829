package inet

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// putInt writes a C int to value as getsockopt does: as much of it as fits.
func putInt(value []byte, v int) int {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(v))
	return copy(value, b[:])
}

// putBool writes 1 or 0.
func putBool(value []byte, v bool) int { return putInt(value, toInt(v)) }

func toInt(v bool) int {
	if v {
		return 1
	}
	return 0
}

// getInt reads a C int.
func getInt(value []byte) (int, syscall.Errno) {
	if len(value) < 4 {
		return 0, syscall.EINVAL
	}
	return int(int32(binary.NativeEndian.Uint32(value))), 0
}

// getIntOrByte reads a C int, or a char if there is no room for one, as level IPPROTO_IP takes both.
func getIntOrByte(value []byte) (int, syscall.Errno) {
	if len(value) >= 4 {
		return getInt(value)
	}
	if len(value) == 0 {
		return 0, syscall.EINVAL
	}
	return int(value[0]), 0
}

// setEndpointInt sets an integer option of an endpoint.
func setEndpointInt(e tcpip.Endpoint, o tcpip.SockOptInt, v int) syscall.Errno {
	return errno(e.SetSockOptInt(o, v))
}

// getEndpointInt writes an integer option of an endpoint to value.
func getEndpointInt(e tcpip.Endpoint, o tcpip.SockOptInt, value []byte) (int, syscall.Errno) {
	v, err := e.GetSockOptInt(o)
	if err != nil {
		return 0, errno(err)
	}
	return putInt(value, v), 0
}
