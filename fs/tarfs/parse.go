package tarfs

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

const blockSize = 512

// An entry is one file of the archive.
type entry struct {
	name     string
	typ      uint32 // S_IFMT bits
	hardLink bool   // another name of link
	link     string // target of a hard or symbolic link
	mode     uint32
	uid, gid uint32
	rdev     uint64
	mtime    syscall.Timespec
	content  []byte
}

// A parser reads an archive.
type parser struct {
	rest   []byte
	start  int // offset of the entry being read
	at     int // offset of rest
	global map[string]string
}

// next returns the next file, nil at the end of the archive.
func (p *parser) next() (*entry, error) {
	p.start = p.at
	local := map[string]string{}
	for {
		h, err := p.header()
		if h == nil || err != nil {
			if err == nil && len(local) > 0 {
				err = errors.New("the archive ends after an extended header")
			}
			return nil, err
		}
		size, err := h.number(124, 12)
		if err != nil {
			return nil, err
		}
		switch flag := h[156]; flag {
		case 'x', 'g', 'L', 'K':
			data, err := p.data(size)
			if err != nil {
				return nil, err
			}
			switch flag {
			case 'x':
				err = parseRecords(data, local)
			case 'g':
				if p.global == nil {
					p.global = map[string]string{}
				}
				err = parseRecords(data, p.global)
			case 'L':
				local["path"] = cString(data)
			case 'K':
				local["linkpath"] = cString(data)
			}
			if err != nil {
				return nil, err
			}
		default:
			return p.entry(h, size, records{local, p.global})
		}
	}
}

// header is a block that describes an entry (ustar header block).
type header []byte

// header takes the next header, nil at the end: of the data or a block of
// zeros.
func (p *parser) header() (header, error) {
	if len(p.rest) == 0 {
		return nil, nil
	}
	if len(p.rest) < blockSize {
		return nil, errors.New("the archive ends within a header")
	}
	h := header(p.rest[:blockSize])
	sum, signed := 0, 0
	zero := true
	for i, b := range h {
		zero = zero && b == 0
		if 148 <= i && i < 156 {
			b = ' '
		}
		sum += int(b)
		signed += int(int8(b))
	}
	if zero {
		return nil, nil
	}
	want, err := h.number(148, 8)
	if err != nil {
		return nil, err
	}
	// Some old programs added signed bytes.
	if want != int64(sum) && want != int64(signed) {
		return nil, errors.New("wrong checksum: no tar archive, or a damaged one")
	}
	p.skip(blockSize)
	return h, nil
}

func (p *parser) skip(n int) {
	p.rest = p.rest[n:]
	p.at += n
}

// data takes the content that follows a header, and its padding.
func (p *parser) data(size int64) ([]byte, error) {
	if size < 0 {
		return nil, errors.New("negative size")
	}
	if size > int64(len(p.rest)) {
		return nil, errors.New("the archive ends within a file of " + strconv.FormatInt(size, 10) + " bytes")
	}
	data := p.rest[:size:size]
	padded := min(int64(len(p.rest)), (size+blockSize-1)&^(blockSize-1))
	p.skip(int(padded))
	return data, nil
}

// cString returns the bytes before the first zero.
func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

func (h header) string(off, n int) string { return cString(h[off : off+n]) }

// number reads an octal number, or a binary one whose first bit is set (GNU).
func (h header) number(off, n int) (int64, error) {
	field := h[off : off+n]
	if field[0]&0x80 != 0 {
		return binaryNumber(field)
	}
	s := strings.Trim(cString(field), " ")
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseInt(s, 8, 64)
	if err != nil {
		return 0, errors.New("bad number in the header: " + strconv.Quote(s))
	}
	return v, nil
}

// binaryNumber reads a number in two's complement, whose first bit is a mark and
// whose second one is the sign.
func binaryNumber(field []byte) (int64, error) {
	v := int64(field[0]&0x7f) << 57 >> 57
	for _, b := range field[1:] {
		if v > math.MaxInt64>>8 || v < math.MinInt64>>8 {
			return 0, errors.New("a number in the header is too large")
		}
		v = v<<8 | int64(b)
	}
	return v, nil
}

// parseRecords reads the records "length key=value\n" of an extended header.
// An empty value cancels an earlier one.
func parseRecords(data []byte, into map[string]string) error {
	malformed := errors.New("malformed extended header")
	for len(data) > 0 {
		digits := 0
		for digits < len(data) && '0' <= data[digits] && data[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(string(data[:digits]))
		if err != nil || n > len(data) || n < digits+2 || data[digits] != ' ' || data[n-1] != '\n' {
			return malformed
		}
		key, value, ok := strings.Cut(string(data[digits+1:n-1]), "=")
		if !ok || key == "" {
			return malformed
		}
		if strings.HasPrefix(key, "GNU.sparse.") {
			return errors.New("sparse files are not supported: make the archive without them (tar without -S)")
		}
		into[key] = value
		data = data[n:]
	}
	return nil
}

// records are the extended headers in force: first that of the entry.
type records [2]map[string]string

func (r records) get(key string) string {
	if v, ok := r[0][key]; ok {
		return v
	}
	return r[1][key]
}

func (p *parser) entry(h header, size int64, r records) (*entry, error) {
	e := &entry{name: h.string(0, 100), link: h.string(157, 100)}
	if prefix := h.string(345, 155); prefix != "" && string(h[257:263]) == "ustar\x00" {
		e.name = prefix + "/" + e.name
	}
	if path := r.get("path"); path != "" {
		e.name = path
	}
	if path := r.get("linkpath"); path != "" {
		e.link = path
	}
	if err := e.setType(h[156]); err != nil {
		return nil, err
	}
	if err := e.setNumbers(h, r); err != nil {
		return nil, err
	}
	if s := r.get("size"); s != "" {
		var err error
		if size, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, errors.New("bad size in the extended header: " + strconv.Quote(s))
		}
	}
	// Only regular files have data, whatever the size of others says.
	if e.typ == syscall.S_IFREG && !e.hardLink {
		var err error
		e.content, err = p.data(size)
		return e, err
	}
	return e, nil
}

func (e *entry) setType(flag byte) error {
	switch flag {
	case 0, '0', '7':
		e.typ = syscall.S_IFREG
		if flag == 0 && strings.HasSuffix(e.name, "/") { // before ustar
			e.typ = syscall.S_IFDIR
		}
	case '1':
		e.typ, e.hardLink = syscall.S_IFREG, true
	case '2':
		e.typ = syscall.S_IFLNK
		if e.link == "" || len(e.link) > 4095 {
			return errors.New(e.name + ": a symbolic link needs a target of 1 to 4095 bytes")
		}
	case '3':
		e.typ = syscall.S_IFCHR
	case '4':
		e.typ = syscall.S_IFBLK
	case '5':
		e.typ = syscall.S_IFDIR
	case '6':
		e.typ = syscall.S_IFIFO
	default:
		return errors.New(e.name + ": type " + strconv.QuoteRune(rune(flag)) + " is not supported")
	}
	return nil
}

func (e *entry) setNumbers(h header, r records) error {
	var v [6]int64
	for i, f := range [6][2]int{{100, 8}, {108, 8}, {116, 8}, {136, 12}, {329, 8}, {337, 8}} {
		var err error
		if v[i], err = h.number(f[0], f[1]); err != nil {
			return err
		}
	}
	for i, key := range [4]string{1: "uid", 2: "gid"} {
		if s := r.get(key); key != "" && s != "" {
			var err error
			if v[i], err = strconv.ParseInt(s, 10, 64); err != nil {
				return errors.New("bad " + key + " in the extended header: " + strconv.Quote(s))
			}
		}
	}
	e.mode, e.uid, e.gid = uint32(v[0]), uint32(v[1]), uint32(v[2])
	e.mtime = syscall.Timespec{Sec: v[3]}
	if e.typ == syscall.S_IFCHR || e.typ == syscall.S_IFBLK {
		e.rdev = vfs.Dev(uint32(v[4]), uint32(v[5]))
	}
	if s := r.get("mtime"); s != "" {
		t, err := parseTime(s)
		if err != nil {
			return err
		}
		e.mtime = t
	}
	return nil
}

// parseTime reads seconds with a fraction (pax Extended Header File Times).
func parseTime(s string) (syscall.Timespec, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	nsec, unit := int64(0), int64(100_000_000)
	for _, digit := range []byte(fraction) {
		if digit < '0' || digit > '9' {
			err = strconv.ErrSyntax
			break
		}
		nsec += int64(digit-'0') * unit
		unit /= 10
	}
	if err != nil {
		return syscall.Timespec{}, errors.New("bad time in the extended header: " + strconv.Quote(s))
	}
	if strings.HasPrefix(whole, "-") && nsec > 0 {
		if sec == math.MinInt64 {
			return syscall.Timespec{}, errors.New("bad time in the extended header: " + strconv.Quote(s))
		}
		sec, nsec = sec-1, 1_000_000_000-nsec
	}
	return syscall.Timespec{Sec: sec, Nsec: nsec}, nil
}
