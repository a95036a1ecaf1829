package configure

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Times of RFC 5227, section 1.1.
const (
	probeWait        = time.Second
	probeCount       = 3
	probeInterval    = time.Second // PROBE_MIN; also how long after the last probe a reply counts
	announceCount    = 2
	announceInterval = 2 * time.Second
)

// A conflict finds out whether another host on the link uses an IPv4 address (RFC 5227). The address
// is used meanwhile: looking takes seconds, in which a server should serve, and a conflict is rare.
type conflict struct {
	link    *link
	address netip.Addr
	found   func(other tcpip.LinkAddress)
	timer   timer
	epoch   int // of the last start or stop
	left    int // announcements to be sent
}

func newConflict(l *link, a netip.Addr, found func(other tcpip.LinkAddress)) *conflict {
	return &conflict{link: l, address: a, found: found, timer: timer{jobs: &l.c.jobs}}
}

// start begins to look. found is called by a job if there is a conflict; otherwise the address is
// announced.
func (k *conflict) start() {
	k.timer.set(k.link.c.below(probeWait), k.probe)
}

// stop ends looking.
func (k *conflict) stop() {
	k.timer.stop()
	k.epoch++
}

func (k *conflict) probe() {
	s := k.link.c.stack
	e, err := s.GetNetworkEndpoint(k.link.nic, header.ARPProtocolNumber)
	if err != nil {
		return
	}
	if d, ok := e.(stack.DuplicateAddressDetector); ok {
		d.SetDADConfigurations(stack.DADConfigurations{DupAddrDetectTransmits: probeCount, RetransmitTimer: probeInterval})
	}
	k.epoch++
	epoch := k.epoch
	_, _ = s.CheckDuplicateAddress(k.link.nic, header.IPv4ProtocolNumber, toStack(k.address), func(r stack.DADResult) {
		k.link.c.jobs.post(func() {
			if k.epoch != epoch {
				return
			}
			switch r := r.(type) {
			case *stack.DADDupAddrDetected:
				k.found(r.HolderLinkAddress)
			case *stack.DADSucceeded:
				k.left = announceCount
				k.announce()
			}
		})
	})
}

// announce tells everyone on the link, some of whom may remember an earlier holder of the address.
func (k *conflict) announce() {
	v := buffer.NewViewSize(header.ARPSize)
	a := header.ARP(v.AsSlice())
	a.SetIPv4OverEthernet()
	a.SetOp(header.ARPRequest)
	copy(a.HardwareAddressSender(), k.link.mac)
	copy(a.ProtocolAddressSender(), k.address.AsSlice())
	copy(a.ProtocolAddressTarget(), k.address.AsSlice())
	_ = k.link.c.stack.WritePacketToRemote(k.link.nic, header.EthernetBroadcastAddress, header.ARPProtocolNumber, buffer.MakeWithView(v))
	if k.left--; k.left > 0 {
		k.timer.set(announceInterval, k.announce)
	}
}
