package nucleus

import (
	"sync/atomic"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
)

// The console is a 16550 at the first serial port (National Semiconductor
// PC16550D data sheet, registers in section 8).
const (
	uart    = 0x3f8
	uartIRQ = 4

	uartData       = uart + 0
	uartIntEnable  = uart + 1
	uartFIFO       = uart + 2
	uartLine       = uart + 3
	uartModem      = uart + 4
	uartLineStatus = uart + 5

	statusDataReady = 1 << 0
	statusTHREmpty  = 1 << 5
	fifoDepth       = 16
	intReceive      = 1 << 0
	fifoEnable      = 0xc7 // on, cleared, interrupt at 14 bytes
	lineDLAB        = 1 << 7
	line8N1         = 3
	modemReady      = 0xb // DTR, RTS, OUT2: interrupts reach the line
)

// console protects the serial port and the receive ring.
var console spinlock

// The receive ring. When it is full the interrupt is turned off and the rest
// waits in the device.
var (
	received      [4096]byte
	receivedStart uint32 // next byte to read
	receivedEnd   uint32 // next byte to fill
	receiveOff    bool
)

func setupConsole() {
	amd64.Out8(uartIntEnable, 0)
	amd64.Out8(uartLine, lineDLAB)
	amd64.Out8(uartData, 1) // 115200 baud
	amd64.Out8(uartIntEnable, 0)
	amd64.Out8(uartLine, line8N1)
	amd64.Out8(uartFIFO, fifoEnable)
	amd64.Out8(uartModem, modemReady)
}

// listenConsole turns on the receive interrupt.
func listenConsole() {
	if !routeLine(LineConsole, &cpus[0], isaInterrupt(uartIRQ)) {
		say("goshawk: console: no I/O APIC input for IRQ 4; there is no input\n")
		return
	}
	amd64.Out8(uartIntEnable, intReceive)
}

func isaInterrupt(irq int) acpi.Interrupt { return tables.ISA[irq] }

// consoleWrite sends n bytes at a, which may be the program's memory.
func consoleWrite(a, n uintptr) {
	// Other CPUs may print, and interrupts come, every so many bytes.
	const batch = 256
	for n > 0 {
		b := min(n, batch)
		if a < userEnd {
			// Fault the bytes in before the lock is taken.
			_ = *(*byte)(at(a))
			_ = *(*byte)(at(a + b - 1))
		}
		console.lock()
		send(a, b)
		console.unlock()
		a, n = a+b, n-b
	}
}

// send gives bytes to the transmitter, as many at a time as its FIFO holds.
func send(a, n uintptr) {
	for n > 0 {
		// A port that is not there reads as all ones, so this ends.
		for i := 0; amd64.In8(uartLineStatus)&statusTHREmpty == 0 && i < 1<<20; i++ {
			amd64.Pause()
		}
		b := min(n, fifoDepth)
		amd64.OutBytes(uartData, a, b)
		a, n = a+b, n-b
	}
}

// consoleInterrupt moves received bytes to the ring.
func consoleInterrupt() {
	console.lock()
	fillRing()
	console.unlock()
	raiseLine(LineConsole)
}

func fillRing() {
	for amd64.In8(uartLineStatus)&statusDataReady != 0 {
		if receivedEnd-receivedStart == uint32(len(received)) {
			receiveOff = true
			amd64.Out8(uartIntEnable, 0)
			return
		}
		received[receivedEnd%uint32(len(received))] = amd64.In8(uartData)
		atomic.StoreUint32(&receivedEnd, receivedEnd+1)
	}
}

// consoleRead moves up to n received bytes to a, the program's memory, and
// returns how many there were.
func consoleRead(a, n uintptr) uintptr {
	if !userRange(a, n) {
		return 0
	}
	got := uintptr(0)
	// The reader is alone, so the start is its own.
	for got < n && receivedStart != atomic.LoadUint32(&receivedEnd) {
		*(*byte)(at(a + got)) = received[receivedStart%uint32(len(received))]
		atomic.StoreUint32(&receivedStart, receivedStart+1)
		got++
	}
	if got > 0 && receiveOff {
		console.lock()
		receiveOff = false
		fillRing()
		if !receiveOff {
			amd64.Out8(uartIntEnable, intReceive)
		}
		console.unlock()
		raiseLine(LineConsole)
	}
	return got
}
