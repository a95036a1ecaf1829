package tcp

// gVisor wakes a processor goroutine for arriving segments. A goroutine that delivers packets from a
// device can do the processors' work itself when it has delivered what there is, which saves a switch
// and, where a CPU idles, an interrupt to wake it.

// Defer says that the caller is about to deliver packets and will then call Process: until that
// processors need not wake.
func (p *protocol) Defer() {
	for i := range p.dispatcher.processors {
		p.dispatcher.processors[i].deferred.Add(1)
	}
}

// Process does the processors' work since Defer. It ends once their queues are empty, or another
// goroutine is between Defer and the end of Process and will see to them.
func (p *protocol) Process() {
	for i := range p.dispatcher.processors {
		proc := &p.dispatcher.processors[i]
		for {
			proc.drain()
			// What is queued before this looked for a waker in vain; what is queued after it wakes one.
			if proc.deferred.Add(-1) > 0 || proc.epQ.empty() {
				break
			}
			proc.deferred.Add(1)
		}
	}
}

// drain processes the segments of the endpoints in the queue. The processor's goroutine, or another
// that drains, may be at work on an endpoint of the queue at the same time: it looks at the endpoint's
// segments again after it has unlocked it.
func (p *processor) drain() {
	for ep := p.epQ.dequeue(); ep != nil; ep = p.epQ.dequeue() {
		if ep.segmentQueue.empty() {
			continue
		}
		switch state := ep.EndpointState(); {
		case state.connecting():
			handleConnecting(ep)
		case state == StateTimeWait:
			handleTimeWait(ep)
		case state.connected():
			handleConnected(ep)
		case state == StateListen:
			handleListen(ep)
		default:
			ep.mu.Lock()
			if state := ep.EndpointState(); state == StateError || state == StateClose {
				ep.drainClosingSegmentQueue()
			}
			ep.mu.Unlock()
		}
		if !ep.segmentQueue.empty() && !ep.isOwnedByUser() {
			p.epQ.enqueue(ep)
		}
	}
}
