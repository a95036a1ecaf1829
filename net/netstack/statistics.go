package netstack

import "sync/atomic"

// Statistics are counts since the link exists, in the sense of struct rtnl_link_stats64
// (linux/if_link.h).
type Statistics struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64 // of frames, link headers included
	RxErrors, TxErrors   uint64
	RxDropped, TxDropped uint64
	Multicast            uint64 // received
}

// counts are Statistics while they grow.
type counts struct {
	rxPackets, rxBytes, rxErrors, rxDropped, multicast atomic.Uint64
	txPackets, txBytes, txErrors, txDropped            atomic.Uint64
}

func (c *counts) rx(bytes uint64) {
	c.rxPackets.Add(1)
	c.rxBytes.Add(bytes)
}

func (c *counts) tx(bytes uint64) {
	c.txPackets.Add(1)
	c.txBytes.Add(bytes)
}

func (c *counts) addTo(s *Statistics) {
	s.RxPackets += c.rxPackets.Load()
	s.RxBytes += c.rxBytes.Load()
	s.RxErrors += c.rxErrors.Load()
	s.RxDropped += c.rxDropped.Load()
	s.Multicast += c.multicast.Load()
	s.TxPackets += c.txPackets.Load()
	s.TxBytes += c.txBytes.Load()
	s.TxErrors += c.txErrors.Load()
	s.TxDropped += c.txDropped.Load()
}
