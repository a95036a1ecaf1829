package nucleus

import (
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/machine/drbg"
)

var (
	hasRdrand bool
	hasRdseed bool

	generator     drbg.DRBG
	generatorLock spinlock // taken last
)

// seedRandom mixes into the generator what the machine has of entropy: the CPU's
// generator, and the jitter of the counter while devices are read.
func seedRandom() {
	var seed [4]uint64
	for i := range seed {
		seed[i] = amd64.Rdtsc()
		for try := 0; try < 10; try++ {
			if hasRdseed {
				if v, ok := amd64.Rdseed(); ok {
					seed[i] ^= v
					break
				}
			}
			if hasRdrand {
				if v, ok := amd64.Rdrand(); ok {
					seed[i] ^= v
					break
				}
			}
		}
	}
	generator.Seed((*[32]byte)(unsafe.Pointer(&seed)))
	if hasRdseed || hasRdrand {
		return
	}
	// No generator: the least significant bits of how long port reads take.
	for round := 0; round < 16; round++ {
		for i := range seed {
			for b := 0; b < 16; b++ {
				amd64.In8(uartLineStatus)
				seed[i] = seed[i]<<4 ^ seed[i]>>60 ^ amd64.Rdtsc()
			}
		}
		generator.Seed((*[32]byte)(unsafe.Pointer(&seed)))
	}
}

// seedFrom mixes 32 bytes at a, the program's memory, into the generator.
func seedFrom(a uintptr) {
	if !userRange(a, 32) {
		return
	}
	var seed [4]uint64
	for i := range seed {
		seed[i] = load64(a + uintptr(i)*8)
	}
	generatorLock.lock()
	generator.Seed((*[32]byte)(unsafe.Pointer(&seed)))
	generatorLock.unlock()
}

// random fills n bytes at a, the program's memory.
func random(a, n uintptr) {
	if !userRange(a, n) {
		return
	}
	var block [512]byte
	for n > 0 {
		b := min(n, unsafe.Sizeof(block))
		generatorLock.lock()
		generator.Read(&block[0], b)
		generatorLock.unlock()
		from := addr(&block[0])
		i := uintptr(0)
		for ; i+8 <= b; i += 8 {
			store64(a+i, load64(from+i))
		}
		for ; i < b; i++ {
			*(*byte)(at(a + i)) = *(*byte)(at(from + i))
		}
		a, n = a+b, n-b
	}
}
