package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// capture sends a datagram to an address, and returns a line for each of the two frames that have its
// text and pass a packet socket of eth0: the datagram, and the answer of whoever echoes it.
func capture(ctx context.Context, address string) (string, error) {
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, syscall.ETH_P_ALL))
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, int(all))
	if err != nil {
		return "", err
	}
	defer syscall.Close(fd)
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		return "", err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: card.Index}); err != nil {
		return "", err
	}
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 5}); err != nil {
		return "", err
	}
	text := []byte("seen by a packet socket at " + time.Now().String())
	c, err := new(net.Dialer).DialContext(ctx, "udp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write(text); err != nil {
		return "", err
	}
	directions := map[byte]string{syscall.PACKET_HOST: "to us", syscall.PACKET_OUTGOING: "from us"}
	var found strings.Builder
	frame := make([]byte, 1<<16)
	for n := 0; n < 2; {
		size, from, err := syscall.Recvfrom(fd, frame, 0)
		if err != nil {
			return "", fmt.Errorf("%w, after %q", err, found.String())
		}
		if !bytes.HasSuffix(frame[:size], text) {
			continue
		}
		n++
		l := from.(*syscall.SockaddrLinklayer)
		fmt.Fprintf(&found, "%s: %d more bytes, ethertype %#x, from %v\n", directions[l.Pkttype], size-len(text), frame[12:14], net.HardwareAddr(l.Addr[:l.Halen]))
	}
	return found.String(), nil
}
