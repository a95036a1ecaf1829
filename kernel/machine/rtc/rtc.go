// Package rtc reads the time of an MC146818 real-time clock, the one of PCs, from the values of its
// registers. Reading the registers is the caller's business.
//
// It can be called before the Go runtime exists.
package rtc

// Register numbers, as written to port 0x70. The century register is not part of the MC146818; the
// FADT's CENTURY field gives its number (ACPI 6.5, table 5.9), 0 if there is none.
const (
	Seconds    = 0x00
	Minutes    = 0x02
	Hours      = 0x04
	DayOfMonth = 0x07
	Month      = 0x08
	Year       = 0x09
	StatusA    = 0x0a // bit 7: an update is in progress, the time must not be read
	StatusB    = 0x0b
)

// UpdateInProgress is the bit of StatusA that says that the time registers are changing.
const UpdateInProgress = 1 << 7

// Bits of status register B.
const (
	binary = 1 << 2 // values are binary, not BCD
	hour24 = 1 << 1 // hours count to 23, not to 12 with a bit for the afternoon
)

// Registers holds one reading of the registers, raw. The caller reads twice and takes the reading
// if both are equal and no update was in progress.
type Registers struct {
	Seconds, Minutes, Hours, DayOfMonth, Month, Year byte
	Century                                          byte // 0 if the machine has no such register
	StatusB                                          byte
}

// Decode converts the registers, which hold the time in UTC, to seconds since 1970. It reports
// false if they hold no date and time. Without a century, years from 70 on are of the 20th one.
func Decode(r Registers) (unix int64, ok bool) {
	afternoon := false
	hours := r.Hours
	if r.StatusB&hour24 == 0 {
		afternoon = hours&0x80 != 0
		hours &= 0x7f
	}
	isBinary := r.StatusB&binary != 0
	second, ok1 := number(r.Seconds, isBinary)
	minute, ok2 := number(r.Minutes, isBinary)
	hour, ok3 := number(hours, isBinary)
	day, ok4 := number(r.DayOfMonth, isBinary)
	month, ok5 := number(r.Month, isBinary)
	year, ok6 := number(r.Year, isBinary)
	century, ok7 := number(r.Century, isBinary)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7 {
		return 0, false
	}
	if r.StatusB&hour24 == 0 {
		if hour < 1 || hour > 12 {
			return 0, false
		}
		hour %= 12
		if afternoon {
			hour += 12
		}
	}
	switch {
	case year > 99:
		return 0, false
	case century != 0:
		year += century * 100
	case year < 70:
		year += 2000
	default:
		year += 1900
	}
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return ((days(year, month, day)*24+hour)*60+minute)*60 + second, true
}

func number(b byte, isBinary bool) (int64, bool) {
	if isBinary {
		return int64(b), true
	}
	tens, ones := int64(b>>4), int64(b&0xf)
	return tens*10 + ones, tens <= 9 && ones <= 9
}

func isLeap(year int64) bool {
	return year%4 == 0 && (year%100 != 0 || year%400 == 0)
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 31
}

// days returns the days from 1970-01-01 to the date, which is valid and not before.
func days(year, month, day int64) int64 {
	before := year - 1
	n := (year-1970)*365 + (before/4 - before/100 + before/400) - (1969/4 - 1969/100 + 1969/400)
	for m := int64(1); m < month; m++ {
		n += daysIn(year, m)
	}
	return n + day - 1
}
