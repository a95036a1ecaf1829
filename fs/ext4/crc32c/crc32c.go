// Package crc32c computes the CRC-32C that ext4 and its journal put on their
// structures: polynomial 0x1edc6f41, bits reflected, without inversion of the
// start value or of the result (Linux calls it crc32c_le). The package exists
// because file systems may not import hash/crc32.
package crc32c

import "sync"

// polynomial is 0x1edc6f41 with its bits reversed (Castagnoli 1993).
const polynomial = 0x82f63b78

// tables are those of the slicing-by-8 algorithm: tables[k][b] is the effect
// of the byte b when k more bytes follow it. They are made when first used:
// a program that mounts no such file system does not pay for them, and a mount may come before the
// initialisation of packages.
var (
	tables [8][256]uint32
	once   sync.Once
)

func makeTables() {
	t := &tables
	for i := range t[0] {
		crc := uint32(i)
		for range 8 {
			crc = crc>>1 ^ polynomial&-(crc&1)
		}
		t[0][i] = crc
	}
	for i := range t[0] {
		for k := 1; k < 8; k++ {
			t[k][i] = t[k-1][i]>>8 ^ t[0][byte(t[k-1][i])]
		}
	}
}

// Update returns the checksum of the bytes that seed stands for followed by p.
// A checksum of ext4 starts with the seed 0xffffffff.
func Update(seed uint32, p []byte) uint32 {
	once.Do(makeTables)
	t := &tables
	crc := seed
	for len(p) >= 8 {
		lo := crc ^ (uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24)
		crc = t[7][byte(lo)] ^ t[6][byte(lo>>8)] ^ t[5][byte(lo>>16)] ^ t[4][lo>>24] ^
			t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]]
		p = p[8:]
	}
	for _, b := range p {
		crc = crc>>8 ^ t[0][byte(crc)^b]
	}
	return crc
}
