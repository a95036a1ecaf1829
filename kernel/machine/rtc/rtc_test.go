package rtc_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/kernel/machine/rtc"
)

// encode is what the clock's registers hold at a time, in each of its four formats.
func encode(at time.Time, isBinary, is24 bool) rtc.Registers {
	number := func(n int) byte {
		if isBinary {
			return byte(n)
		}
		return byte(n/10<<4 | n%10)
	}
	hour, afternoon, status := at.Hour(), byte(0), byte(0)
	if isBinary {
		status |= 1 << 2
	}
	if is24 {
		status |= 1 << 1
	} else {
		if hour >= 12 {
			afternoon = 0x80
		}
		hour = (hour+11)%12 + 1
	}
	return rtc.Registers{
		Seconds: number(at.Second()), Minutes: number(at.Minute()), Hours: number(hour) | afternoon,
		DayOfMonth: number(at.Day()), Month: number(int(at.Month())),
		Year: number(at.Year() % 100), Century: number(at.Year() / 100), StatusB: status,
	}
}

func TestDecode(t *testing.T) {
	const step = 7*time.Hour + 13*time.Minute + 17*time.Second
	end := time.Date(2110, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Unix(0, 0).UTC(); at.Before(end); at = at.Add(step) {
		for format := range 4 {
			unix, ok := rtc.Decode(encode(at, format&1 != 0, format&2 != 0))
			if !ok || unix != at.Unix() {
				require.Failf(t, "wrong", "%v in format %d: %d %v", at, format, unix, ok)
			}
		}
	}
}

func TestDecodeWithoutCentury(t *testing.T) {
	for year, want := range map[byte]int{0x00: 2000, 0x26: 2026, 0x69: 2069, 0x70: 1970, 0x99: 1999} {
		unix, ok := rtc.Decode(rtc.Registers{DayOfMonth: 1, Month: 1, Year: year, StatusB: 2})
		assert.True(t, ok)
		assert.Equal(t, time.Date(want, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), unix)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := encode(time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC), false, true)
	_, ok := rtc.Decode(good)
	require.True(t, ok)
	for name, spoil := range map[string]func(r *rtc.Registers){
		"no device":        func(r *rtc.Registers) { *r = rtc.Registers{255, 255, 255, 255, 255, 255, 255, 255} },
		"zeroes":           func(r *rtc.Registers) { *r = rtc.Registers{} },
		"seconds":          func(r *rtc.Registers) { r.Seconds = 0x60 },
		"minutes":          func(r *rtc.Registers) { r.Minutes = 0x60 },
		"hours":            func(r *rtc.Registers) { r.Hours = 0x24 },
		"hour 0 of 12":     func(r *rtc.Registers) { r.StatusB, r.Hours = 0, 0 },
		"hour 13 of 12":    func(r *rtc.Registers) { r.StatusB, r.Hours = 0, 0x13 },
		"day 0":            func(r *rtc.Registers) { r.DayOfMonth = 0 },
		"29 February":      func(r *rtc.Registers) { r.DayOfMonth = 0x29 },
		"31 April":         func(r *rtc.Registers) { r.Month, r.DayOfMonth = 4, 0x31 },
		"month 0":          func(r *rtc.Registers) { r.Month = 0 },
		"month 13":         func(r *rtc.Registers) { r.Month = 0x13 },
		"BCD digit":        func(r *rtc.Registers) { r.Minutes = 0x0a },
		"1926":             func(r *rtc.Registers) { r.Century = 0x19 },
		"binary year > 99": func(r *rtc.Registers) { *r = rtc.Registers{0, 0, 0, 1, 1, 100, 20, 6} },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			spoil(&r)
			_, ok := rtc.Decode(r)
			assert.False(t, ok)
		})
	}
}
