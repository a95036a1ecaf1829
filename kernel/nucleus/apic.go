package nucleus

import (
	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
)

// Local APIC registers (SDM 11.4.1), as byte offsets; the x2APIC's MSR number is
// the offset divided by 16.
const (
	apicID           = 0x20
	apicTPR          = 0x80
	apicEOI          = 0xb0
	apicSpurious     = 0xf0
	apicICR          = 0x300
	apicICRHigh      = 0x310
	apicLVTTimer     = 0x320
	apicLVTLINT0     = 0x350
	apicLVTLINT1     = 0x360
	apicLVTError     = 0x370
	apicTimerInitial = 0x380
	apicTimerCurrent = 0x390
	apicTimerDivide  = 0x3e0

	apicEnable      = 1 << 8
	lvtMasked       = 1 << 16
	lvtTSCDeadline  = 2 << 17
	icrAssert       = 1 << 14
	icrPending      = 1 << 12
	icrNMI          = 4 << 8
	icrINIT         = 5 << 8
	icrStartup      = 6 << 8
	timerDivideBy1  = 0xb
	ioapicSelect    = 0x00
	ioapicWindow    = 0x10
	ioapicVersion   = 0x01
	ioapicEntry     = 0x10 // register of the first redirection entry
	redirectMasked  = 1 << 16
	redirectLevel   = 1 << 15
	redirectLowTrue = 1 << 13
)

var (
	hasX2APIC      bool
	hasTSCDeadline bool
	apicBase       uintptr // virtual address of the registers, xAPIC mode

	// timerScale is local APIC timer ticks per nanosecond, 32.32 fixed point.
	timerScale uint64
)

func apicRead(reg uintptr) uint32 {
	if hasX2APIC {
		return uint32(amd64.Rdmsr(uint32(amd64.X2APIC_MSR + reg>>4)))
	}
	return amd64.Load32(apicBase + reg)
}

func apicWrite(reg uintptr, v uint32) {
	if hasX2APIC {
		amd64.Wrmsr(uint32(amd64.X2APIC_MSR+reg>>4), uint64(v))
		return
	}
	amd64.Store32(apicBase+reg, v)
}

// setupAPIC turns on this CPU's local APIC, all its own sources masked.
func setupAPIC(physical uint64) {
	v := amd64.Rdmsr(amd64.IA32_APIC_BASE) | amd64.APIC_BASE_ENABLE
	if hasX2APIC {
		v |= amd64.APIC_BASE_X2APIC
	} else if apicBase == 0 {
		apicBase = mapDevice(uintptr(physical), pageSize)
	}
	amd64.Wrmsr(amd64.IA32_APIC_BASE, v)
	apicWrite(apicTPR, 0)
	apicWrite(apicLVTLINT0, lvtMasked)
	apicWrite(apicLVTLINT1, lvtMasked)
	apicWrite(apicLVTError, lvtMasked)
	apicWrite(apicTimerDivide, timerDivideBy1)
	mode := uint32(vectorTimer)
	if hasTSCDeadline {
		mode |= lvtTSCDeadline
	}
	apicWrite(apicLVTTimer, mode)
	apicWrite(apicSpurious, apicEnable|vectorSpurious)
}

// localAPICID returns the ID by which other CPUs address this one.
func localAPICID() uint32 {
	if hasX2APIC {
		return apicRead(apicID)
	}
	return apicRead(apicID) >> 24
}

func endInterrupt() { apicWrite(apicEOI, 0) }

// sendCommand writes the interrupt command register.
func sendCommand(to uint32, command uint32) {
	if hasX2APIC {
		amd64.Wrmsr(uint32(amd64.X2APIC_MSR+apicICR>>4), uint64(to)<<32|uint64(command))
		return
	}
	for apicRead(apicICR)&icrPending != 0 {
		amd64.Pause()
	}
	apicWrite(apicICRHigh, to<<24)
	apicWrite(apicICR, command)
}

// sendIPI interrupts another CPU.
func sendIPI(to uint32, vector uint32) { sendCommand(to, icrAssert|vector) }

// setTimer makes the timer fire at a time in nanoseconds since boot, or as soon
// as possible if that has passed.
func setTimer(when int64) {
	if hasTSCDeadline {
		amd64.Wrmsr(amd64.IA32_TSC_DEADLINE, clockTicks(when))
		return
	}
	ns := when - clockNow()
	if ns < 1 {
		ns = 1
	}
	// An hour is far away enough to look again.
	if ns > 3600e9 {
		ns = 3600e9
	}
	ticks := mulShift32(uint64(ns), timerScale) + 1
	if ticks > 1<<32-1 {
		ticks = 1<<32 - 1
	}
	apicWrite(apicTimerInitial, uint32(ticks))
}

// routeLine makes an input of an I/O APIC interrupt a CPU for a line. It reports
// false if there is no such input or the CPU has no vector left.
func routeLine(line int, c *cpu, in acpi.Interrupt) bool {
	for i := 0; i < tables.IOAPICCount; i++ {
		io := &tables.IOAPICs[i]
		base := mapDevice(uintptr(io.Address), pageSize)
		routing.lock()
		amd64.Store32(base+ioapicSelect, ioapicVersion)
		inputs := amd64.Load32(base+ioapicWindow)>>16&0xff + 1
		if in.GSI < io.GSIBase || in.GSI-io.GSIBase >= inputs {
			routing.unlock()
			continue
		}
		low := newVector(c, line)
		if low == 0 {
			routing.unlock()
			return false
		}
		if in.Level {
			low |= redirectLevel
		}
		if in.ActiveLow {
			low |= redirectLowTrue
		}
		r := &routes[line%maxLines]
		r.ioapic, r.entry, r.low, r.gsi = base, ioapicEntry+2*(in.GSI-io.GSIBase), low, in.GSI
		amd64.Store32(base+ioapicSelect, r.entry+1)
		amd64.Store32(base+ioapicWindow, c.apicID<<24)
		amd64.Store32(base+ioapicSelect, r.entry)
		amd64.Store32(base+ioapicWindow, low)
		routing.unlock()
		return true
	}
	return false
}

// maskPIC silences the 8259 interrupt controllers of a PC: they are moved off
// the exception vectors and masked.
func maskPIC() {
	amd64.Out8(0x20, 0x11)
	amd64.Out8(0xa0, 0x11)
	amd64.Out8(0x21, vectorLine)
	amd64.Out8(0xa1, vectorLine+8)
	amd64.Out8(0x21, 4)
	amd64.Out8(0xa1, 2)
	amd64.Out8(0x21, 1)
	amd64.Out8(0xa1, 1)
	amd64.Out8(0x21, 0xff)
	amd64.Out8(0xa1, 0xff)
}
