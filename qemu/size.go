package qemu

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// A Size is a number of bytes.
type Size uint64

// Units of a Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
)

// ParseSize reads a size: a number with K, M or G (powers of 1024; "KiB" and "KB" mean the same), or
// a plain number of MiB, as in QEMU's -m.
func ParseSize(s string) (Size, error) {
	bad := func() (Size, error) {
		return 0, fmt.Errorf("%q is not a size: write a number of MiB, or a number with K, M or G, such as 64M or 2G", s)
	}
	unit := MiB
	digits := strings.TrimRight(s, "KMGiBkmgb")
	switch strings.ToUpper(s[len(digits):]) {
	case "":
	case "K", "KB", "KIB":
		unit = KiB
	case "M", "MB", "MIB":
	case "G", "GB", "GIB":
		unit = GiB
	default:
		return bad()
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return bad()
	}
	over, size := bits.Mul64(n, uint64(unit))
	if over != 0 || size == 0 {
		return bad()
	}
	return Size(size), nil
}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	switch {
	case s%GiB == 0:
		return strconv.FormatUint(uint64(s/GiB), 10) + "G"
	case s%MiB == 0:
		return strconv.FormatUint(uint64(s/MiB), 10) + "M"
	case s%KiB == 0:
		return strconv.FormatUint(uint64(s/KiB), 10) + "K"
	}
	return strconv.FormatUint(uint64(s), 10)
}

// Set makes *Size a flag.Value.
func (s *Size) Set(text string) (err error) {
	*s, err = ParseSize(text)
	return err
}
