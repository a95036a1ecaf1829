package nucleus

import (
	"sync/atomic"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
)

// exitPort is QEMU's isa-debugcon, where `goshawk run` listens for the exit
// status. The port reads as its own number when the device is there.
const exitPort = 0xe9

// TellHost writes a line to the debug port, for `goshawk run`. One goroutine at a time may call it.
func TellHost(line string) {
	if amd64.In8(exitPort) != exitPort {
		return
	}
	for i := range len(line) {
		amd64.Out8(exitPort, line[i])
	}
	amd64.Out8(exitPort, '\n')
}

var poweringOff uint32

// exitFailure is the exit status when the nucleus itself fails.
const exitFailure = 125

// powerOff reports the exit status and turns the machine off.
func powerOff(status int) {
	if !atomic.CompareAndSwapUint32(&poweringOff, 0, 1) {
		amd64.Halt()
	}
	for amd64.In8(uartLineStatus)&(statusTHREmpty<<1) == 0 {
		amd64.Pause() // until the last byte has left
	}
	if amd64.In8(exitPort) == exitPort {
		amd64.Out8(exitPort, '\n') // ends what TellHost may have begun
		for d := 100; d > 0; d /= 10 {
			if status >= d || d == 1 {
				amd64.Out8(exitPort, uint8('0'+status/d%10))
			}
		}
		amd64.Out8(exitPort, '\n')
	}
	if tables.HasSleepTypes {
		if tables.HardwareReduced {
			writeRegister(&tables.SleepControl, acpi.SleepControlSleep(tables.SleepTypeA))
		}
		if tables.PM1aControl != 0 {
			amd64.Out16(tables.PM1aControl, acpi.PM1Sleep(tables.SleepTypeA))
		}
		if tables.PM1bControl != 0 {
			amd64.Out16(tables.PM1bControl, acpi.PM1Sleep(tables.SleepTypeB))
		}
	}
	// No power-off: a reset ends QEMU too under -no-reboot.
	writeRegister(&tables.Reset, tables.ResetValue)
	amd64.Out8(0x64, 0xfe) // pulse the reset line of the keyboard controller
	var none pseudoDescriptor
	amd64.Lidt(addr(&none.limit)) // a trap without a table resets the CPU
	amd64.Undefined()
}

// setupPower makes the registers accessible that powerOff may need, since it must
// not need a lock.
func setupPower() {
	if tables.SleepControl.Space == acpi.MemorySpace {
		mapDevice(uintptr(tables.SleepControl.Address), 1)
	}
	if tables.Reset.Space == acpi.MemorySpace {
		mapDevice(uintptr(tables.Reset.Address), 1)
	}
}

// writeRegister writes a byte to a register that ACPI describes.
func writeRegister(r *acpi.Register, v byte) {
	switch r.Space {
	case acpi.PortSpace:
		amd64.Out8(uint16(r.Address), v)
	case acpi.MemorySpace:
		*(*byte)(at(directMap + uintptr(r.Address))) = v
	}
}
