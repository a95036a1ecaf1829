//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	transferred   = 128 << 20 // bytes of one throughput measurement, if they take no longer than
	transferTime  = 10 * time.Second
	roundTrips    = 2000
	shortLived    = 1000 // connections of one measurement
	shortLivedNow = 16   // of them at a time
	trafficLimit  = time.Minute
)

// dial connects to one of the server's ports. The connection fails after trafficLimit.
func (s *serving) dial(port uint16) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", s.places[port], 10*time.Second)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(trafficLimit))
}

// into measures bytes per second into the guest: until the guest says that it has them.
func (s *serving) into() (float64, error) {
	c, err := s.dial(sinkPort)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	block := make([]byte, 256<<10)
	start := time.Now()
	sent := 0
	for sent < transferred && time.Since(start) < transferTime {
		n, err := c.Write(block)
		sent += n
		if err != nil {
			return 0, err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	var got [8]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return 0, err
	}
	if n := binary.BigEndian.Uint64(got[:]); n != uint64(sent) {
		return 0, fmt.Errorf("of %d bytes %d arrived in the guest", sent, n)
	}
	return float64(sent) / time.Since(start).Seconds(), nil
}

// outOf measures bytes per second out of the guest.
func (s *serving) outOf() (float64, error) {
	c, err := s.dial(sourcePort)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	start := time.Now()
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, transferred)); err != nil {
		return 0, err
	}
	block := make([]byte, 256<<10)
	got := 0
	for got < transferred && time.Since(start) < transferTime {
		n, err := c.Read(block)
		got += n
		if err != nil {
			return 0, err
		}
	}
	return float64(got) / time.Since(start).Seconds(), nil
}

// roundTrip measures how long a byte takes there and back.
func (s *serving) roundTrip() (time.Duration, error) {
	c, err := s.dial(echoPort)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := []byte{1}
	start := time.Now()
	for range roundTrips {
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / roundTrips, nil
}

// setUps measures connections per second, some at a time, each with a byte there and back.
func (s *serving) setUps() (float64, error) {
	var left atomic.Int64
	left.Store(shortLived)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := time.Now()
	for range shortLivedNow {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := s.shortLived(); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return shortLived / time.Since(start).Seconds(), failed
}

func (s *serving) shortLived() error {
	c, err := s.dial(echoPort)
	if err != nil {
		return err
	}
	defer c.Close()
	b := []byte{1}
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err = io.ReadFull(c, b)
	return err
}
