package virtio

import "github.com/goshawk-os/goshawk/arch/amd64"

// fence has the device see all earlier stores before any later load is done.
//
// The locked exchanges of sync/atomic do that on a processor. QEMU's TCG leaves
// the barriers out of them if the machine has one CPU (observed with QEMU 7.2:
// the translated code has no memory barriers unless -smp is at least 2), though
// the devices run in another thread of the host: both sides may then miss what
// the other has just written, and an interrupt or a notification is lost. To read
// the time-stamp counter TCG takes a lock of the host, which is a barrier; on a
// processor it is some 20 cycles, and no exit.
func fence() { amd64.Rdtsc() }
