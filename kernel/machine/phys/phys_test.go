package phys_test

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/goshawk-os/goshawk/kernel/machine/phys"
)

func TestMemory(t *testing.T) {
	buffer := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}
	m := phys.Memory{Base: uintptr(unsafe.Pointer(&buffer[0])), Size: uint64(len(buffer))}

	assert.True(t, m.Has(0, 9))
	assert.True(t, m.Has(9, 0))
	assert.False(t, m.Has(0, 10))
	assert.False(t, m.Has(10, 0))
	assert.False(t, m.Has(1<<64-1, 2), "the end overflows")
	assert.False(t, m.Has(2, 1<<64-1), "the end overflows")

	assert.EqualValues(t, 2, m.Byte(1))
	assert.EqualValues(t, 0x0302, m.Uint16(1))
	assert.EqualValues(t, 0x05040302, m.Uint32(1))
	assert.EqualValues(t, 0x0908070605040302, m.Uint64(1))

	assert.Zero(t, m.Byte(9))
	assert.Zero(t, m.Uint16(8))
	assert.Zero(t, m.Uint32(6))
	assert.Zero(t, m.Uint64(2))
	assert.Zero(t, m.Uint64(1<<64-1))
}
