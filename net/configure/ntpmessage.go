package configure

import (
	"encoding/binary"
	"time"
)

// Messages of NTP version 4 in the way of a client (RFC 5905, section 7.3; RFC 4330, section 5). It
// is one header without options, which github.com/beevik/ntp has only together with sockets.

const (
	ntpPort = 123
	ntpSize = 48
)

const (
	ntpVersion        = 4
	ntpModeClient     = 3 // modes
	ntpModeServer     = 4
	ntpUnsynchronised = 3 // leap indicator
	// maxDistance is the largest error of a server's time that is accepted (RFC 5905, appendix
	// A.1.1, MAXDIST, with MAXDISP for the dispersion of a fresh sample).
	maxDistance = 1500 * time.Millisecond
)

// ntpRequest returns a request. Its transmit timestamp is a random number that the server sends back
// and nobody who does not see the request knows, and so tells nothing of the clock.
func ntpRequest(cookie uint64) []byte {
	b := make([]byte, ntpSize)
	b[0] = ntpVersion<<3 | ntpModeClient
	binary.BigEndian.PutUint64(b[40:], cookie)
	return b
}

// An ntpAnswer is what a server says.
type ntpAnswer struct {
	kiss     string    // of a server that refuses, "" otherwise: RATE, DENY, RSTR, ...
	received time.Time // by the server
	sent     time.Time
}

// parseNTP reads the answer to the request with that cookie; ok is false if it is none, or of a
// server that does not know the time.
func parseNTP(b []byte, cookie uint64) (a ntpAnswer, ok bool) {
	if len(b) < ntpSize || b[0]&7 != ntpModeServer || b[0]>>3&7 < 3 || b[0]>>3&7 > ntpVersion ||
		binary.BigEndian.Uint64(b[24:]) != cookie {
		return a, false
	}
	stratum := b[1]
	if stratum == 0 {
		a.kiss = string(b[12:16])
		return a, true
	}
	if b[0]>>6 == ntpUnsynchronised || stratum > 15 || short(b[4:])/2+short(b[8:]) > maxDistance {
		return a, false
	}
	received, sent := binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint64(b[40:])
	if received == 0 || sent == 0 {
		return a, false
	}
	a.received, a.sent = ntpTime(received), ntpTime(sent)
	return a, !a.sent.Before(a.received)
}

// short returns a time span in NTP's short format: 16 bits of seconds, 16 of the fraction.
func short(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second >> 16
}

// ntpTime returns a timestamp's time: 32 bits of seconds since 1900, 32 of the fraction. The seconds
// overflow in 2036; they mean a time from 1968 to 2104 (RFC 4330, section 3).
func ntpTime(t uint64) time.Time {
	const from1900to1970 = 2208988800
	seconds := int64(t >> 32)
	if seconds < 1<<31 {
		seconds += 1 << 32
	}
	return time.Unix(seconds-from1900to1970, int64(t&(1<<32-1)*1e9>>32))
}
