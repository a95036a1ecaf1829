package p9

import (
	"strconv"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// version agrees on the dialect and on the length of messages.
func (c *client) version() error {
	most := c.transport.MaxMessage()
	k := c.request(Tversion).u32(uint32(most)).text(version9P2000L)
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return err
	}
	size, dialect := k.get32(), k.getText()
	if err := k.check(); err != nil {
		return err
	}
	if dialect != version9P2000L {
		c.fail("the server does not speak " + version9P2000L)
		return syscall.EPROTO
	}
	if size < minMessage || size > uint32(most) {
		c.fail("the server wants messages of " + strconv.FormatUint(uint64(size), 10) + " bytes")
		return syscall.EPROTO
	}
	c.payload = int(size) - ioHeader
	return nil
}

// attach returns a fid for the root of the tree.
func (c *client) attach() (*fid, qid, error) {
	id := c.newFid()
	k := c.request(Tattach).u32(id).u32(NOFID).text("").text("").u32(NONUNAME)
	q, err := k.oneQid()
	return c.made(id, err), q, err
}

// oneQid sends a request whose reply is a qid.
func (k *call) oneQid() (qid, error) {
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return qid{}, err
	}
	q := k.getQid()
	return q, k.check()
}

// made returns the fid that a request has made, or nil after an error.
func (c *client) made(id uint32, err error) *fid {
	if err != nil {
		c.freeFid(id)
		return nil
	}
	return c.newFidFor(id)
}

// walk returns a fid for a name in a directory.
func (c *client) walk(f *fid, name string) (*fid, qid, error) {
	id := c.newFid()
	q, err := c.request(Twalk).u32(f.id).u32(id).u16(1).text(name).walked(1)
	return c.made(id, err), q, err
}

// clone returns another fid for the same file.
func (c *client) clone(f *fid) (*fid, error) {
	id := c.newFid()
	_, err := c.request(Twalk).u32(f.id).u32(id).u16(0).walked(0)
	return c.made(id, err), err
}

// walked sends a Twalk, for as many names as the reply must have qids.
func (k *call) walked(names uint16) (q qid, err error) {
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return q, err
	}
	if n := k.get16(); n != names {
		return q, k.wrong()
	}
	if names > 0 {
		q = k.getQid()
	}
	return q, k.check()
}

// clunk forgets a fid. The server does, even if it answers with an error.
func (c *client) clunk(f uint32) error {
	err := c.request(Tclunk).u32(f).finish()
	c.freeFid(f)
	return err
}

// open opens f, which cannot walk from then on.
func (c *client) open(f *fid, flags uint32) error {
	_, err := c.request(Tlopen).u32(f.id).u32(flags).opened(f)
	return err
}

// create makes a regular file in the directory f, which becomes that file, open.
func (c *client) create(f *fid, name string, flags, mode, gid uint32) (qid, error) {
	return c.request(Tlcreate).u32(f.id).text(name).u32(flags).u32(mode).u32(gid).opened(f)
}

func (k *call) opened(f *fid) (qid, error) {
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return qid{}, err
	}
	q := k.getQid()
	f.unit = k.c.payload
	if unit := k.get32(); unit != 0 && int64(unit) < int64(f.unit) {
		f.unit = int(unit)
	}
	return q, k.check()
}

// read reads up to f.unit bytes.
func (c *client) read(f *fid, p []byte, off int64) (int, error) {
	p = p[:min(len(p), f.unit)]
	k := c.request(Tread).u32(f.id).u64(uint64(off)).u32(uint32(len(p)))
	defer k.end()
	return k.send(nil, p)
}

// write writes up to f.unit bytes, at least one.
func (c *client) write(f *fid, p []byte, off int64) (int, error) {
	p = p[:min(len(p), f.unit)]
	k := c.request(Twrite).u32(f.id).u64(uint64(off)).u32(uint32(len(p)))
	defer k.end()
	if _, err := k.send(p, nil); err != nil {
		return 0, err
	}
	n := k.get32()
	if err := k.check(); err != nil {
		return 0, err
	}
	if n == 0 || int64(n) > int64(len(p)) {
		return 0, k.wrong()
	}
	return int(n), nil
}

// readdir reads entries from a place in the directory on; see Treaddir.
func (c *client) readdir(f *fid, p []byte, off uint64) (int, error) {
	k := c.request(Treaddir).u32(f.id).u64(off).u32(uint32(len(p)))
	defer k.end()
	return k.send(nil, p)
}

// getattr returns the attributes but Dev.
func (c *client) getattr(f *fid) (st vfs.Stat, err error) {
	k := c.request(Tgetattr).u32(f.id).u64(P9_GETATTR_BASIC | P9_GETATTR_BTIME)
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return st, err
	}
	valid := k.get64()
	st.Ino = k.getQid().path
	st.Mode, st.Uid, st.Gid = k.get32(), k.get32(), k.get32()
	st.Nlink, st.Rdev = k.get64(), k.get64()
	size, blksize, blocks := k.get64(), k.get64(), k.get64()
	for _, t := range []*syscall.Timespec{&st.Atime, &st.Mtime, &st.Ctime, &st.Btime} {
		t.Sec, t.Nsec = int64(k.get64()), int64(k.get64())
		if t.Nsec < 0 || t.Nsec > 999_999_999 {
			t.Nsec = 0
		}
	}
	k.get64() // generation
	k.get64() // data version
	if err := k.check(); err != nil {
		return st, err
	}
	st.Size, st.Blksize, st.Blocks = int64(size), int64(blksize), int64(blocks)
	if valid&P9_GETATTR_MODE == 0 || st.Size < 0 || st.Blksize < 0 || st.Blocks < 0 {
		return st, k.wrong()
	}
	if valid&P9_GETATTR_BTIME == 0 {
		st.Btime = syscall.Timespec{}
	}
	return st, nil
}

// changes are what setattr sets: those that valid names.
type changes struct {
	valid, mode, uid, gid uint32
	size                  uint64
	atime, mtime          syscall.Timespec
}

func (c *client) setattr(f *fid, a changes) error {
	return c.request(Tsetattr).u32(f.id).u32(a.valid).u32(a.mode).u32(a.uid).u32(a.gid).u64(a.size).
		u64(uint64(a.atime.Sec)).u64(uint64(a.atime.Nsec)).u64(uint64(a.mtime.Sec)).u64(uint64(a.mtime.Nsec)).finish()
}

func (c *client) fsync(f *fid) error { return c.request(Tfsync).u32(f.id).u32(0).finish() }

func (c *client) mkdir(dir *fid, name string, mode, gid uint32) error {
	_, err := c.request(Tmkdir).u32(dir.id).text(name).u32(mode).u32(gid).oneQid()
	return err
}

func (c *client) symlink(dir *fid, name, target string, gid uint32) error {
	_, err := c.request(Tsymlink).u32(dir.id).text(name).text(target).u32(gid).oneQid()
	return err
}

func (c *client) mknod(dir *fid, name string, mode uint32, major, minor, gid uint32) error {
	_, err := c.request(Tmknod).u32(dir.id).text(name).u32(mode).u32(major).u32(minor).u32(gid).oneQid()
	return err
}

func (c *client) link(dir, target *fid, name string) error {
	return c.request(Tlink).u32(dir.id).u32(target.id).text(name).finish()
}

func (c *client) unlink(dir *fid, name string, flags uint32) error {
	return c.request(Tunlinkat).u32(dir.id).text(name).u32(flags).finish()
}

func (c *client) rename(from *fid, name string, to *fid, newName string) error {
	return c.request(Trenameat).u32(from.id).text(name).u32(to.id).text(newName).finish()
}

// readlink returns the target of a symbolic link, shorter than PATH_MAX.
func (c *client) readlink(f *fid) (string, error) {
	k := c.request(Treadlink).u32(f.id)
	defer k.end()
	k.room = headerSize + 2 + abi.PATH_MAX - 1
	if _, err := k.send(nil, nil); err != nil {
		return "", err
	}
	target := k.getText()
	return target, k.check()
}

// xattrwalk returns a fid that an extended attribute can be read from, the list
// of their names if name is empty, and the length of that.
func (c *client) xattrwalk(f *fid, name string) (*fid, uint64, error) {
	id := c.newFid()
	k := c.request(Txattrwalk).u32(f.id).u32(id).text(name)
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return c.made(id, err), 0, err
	}
	size := k.get64()
	if err := k.check(); err != nil {
		return c.made(id, err), 0, err
	}
	x := c.newFidFor(id)
	x.unit = c.payload
	return x, size, nil
}

// xattrcreate makes f a fid that an extended attribute is written to. The
// server sets it, or with size 0 removes it, when f is clunked.
func (c *client) xattrcreate(f *fid, name string, size uint64, flags uint32) error {
	f.unit = c.payload
	return c.request(Txattrcreate).u32(f.id).text(name).u64(size).u32(flags).finish()
}

// statfs describes the file system.
func (c *client) statfs(f *fid) (st syscall.Statfs_t, err error) {
	k := c.request(Tstatfs).u32(f.id)
	defer k.end()
	if _, err := k.send(nil, nil); err != nil {
		return st, err
	}
	st.Type, st.Bsize = int64(k.get32()), int64(k.get32())
	st.Frsize = st.Bsize
	st.Blocks, st.Bfree, st.Bavail = k.get64(), k.get64(), k.get64()
	st.Files, st.Ffree = k.get64(), k.get64()
	id := k.get64()
	st.Fsid.X__val = [2]int32{int32(id), int32(id >> 32)}
	st.Namelen = int64(k.get32())
	return st, k.check()
}
