package blobs

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// blockSize is what places and lengths are multiples of, in files and in memory, where
// the page cache is passed by. No disk has larger blocks.
const blockSize = 4096

// aligned is memory that may be written to a disk directly.
func aligned(size int) []byte {
	b := make([]byte, size+blockSize)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (blockSize - 1)
	return b[skip : skip+size : skip+size]
}

// openPast is openDirect, but in tests.
var openPast = openDirect

// A cursor goes through a content's files from a place on, with one of them open. The nil
// cursor writes nothing.
type cursor struct {
	c      content
	offset int64
	direct bool // past the page cache, where that can be

	in     string   // the file that is open
	f      *os.File // as usual; nil: not yet
	past   *os.File // past the page cache; nil: not yet, or it cannot be
	since  int64    // where in it writing as usual began
	at     int64    // and has got to
	failed bool     // its file system knows no way past the page cache
}

// from writes, or reads, the content from offset on.
func (c content) from(offset int64) *cursor { return &cursor{c: c, offset: offset} }

// next is how much of at most n bytes is to be taken in one piece: up to the end of a
// file, and so that the most begins and ends where a block does.
func (u *cursor) next(n int) int {
	if u == nil {
		return n
	}
	pieces := within(u.c.at, u.offset, n)
	if len(pieces) == 0 {
		return n
	}
	piece := pieces[0]
	switch before := (blockSize - piece.offset%blockSize) % blockSize; {
	case !u.direct || piece.size < blockSize:
		return int(piece.size)
	case before > 0:
		return int(min(before, piece.size))
	}
	return int(piece.size - piece.size%blockSize)
}

// turn goes to a file.
func (u *cursor) turn(path string) error {
	if u.in == path {
		return nil
	}
	err := u.close()
	u.in, u.failed = path, false
	return err
}

// file opens the file for what is to be written or read of it, as usual or past the page cache.
func (u *cursor) file(b []byte, offset int64, flag int) (f *os.File, past bool, err error) {
	if u.direct && !u.failed && offset%blockSize == 0 && len(b) > 0 && len(b)%blockSize == 0 && uintptr(unsafe.Pointer(&b[0]))%blockSize == 0 {
		if u.past == nil {
			var none error // of no account: it is done as usual then
			u.past, none = openPast(u.in, flag)
			u.failed = none != nil
		}
		if !u.failed {
			return u.past, true, nil
		}
	}
	if u.f == nil {
		u.f, err = os.OpenFile(u.in, flag, 0)
	}
	return u.f, false, err
}

func (u *cursor) write(b []byte) error {
	if u == nil {
		return nil
	}
	for _, piece := range within(u.c.at, u.offset, len(b)) {
		if err := u.turn(u.c.file(piece)); err != nil {
			return err
		}
		if err := u.put(b[:piece.size], piece.offset); err != nil {
			return err
		}
		u.offset += piece.size
		b = b[piece.size:]
	}
	return nil
}

func (u *cursor) put(b []byte, offset int64) error {
	f, past, err := u.file(b, offset, os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, offset)
	if past && errors.Is(err, syscall.EINVAL) { // its blocks are larger, say
		u.failed = true
		return u.put(b, offset)
	}
	if err == nil && !past {
		if u.at != offset {
			u.flush()
			u.since = offset
		}
		u.at = offset + int64(len(b))
	}
	return err
}

// read fills b. A file that is too short gives io.EOF.
func (u *cursor) read(b []byte) error {
	for _, piece := range within(u.c.at, u.offset, len(b)) {
		if err := u.turn(u.c.file(piece)); err != nil {
			return err
		}
		if err := u.get(b[:piece.size], piece.offset); err != nil {
			return err
		}
		u.offset += piece.size
		b = b[piece.size:]
	}
	if len(b) > 0 {
		return io.EOF
	}
	return nil
}

func (u *cursor) get(b []byte, offset int64) error {
	f, past, err := u.file(b, offset, os.O_RDONLY)
	if err != nil {
		return err
	}
	n, err := f.ReadAt(b, offset)
	if past && errors.Is(err, syscall.EINVAL) {
		u.failed = true
		return u.get(b, offset)
	}
	if n == len(b) {
		return nil
	}
	return err
}

// flush has the disk begin with what was written as usual.
func (u *cursor) flush() {
	if u.f != nil && u.at > u.since {
		flush(u.f, u.since, u.at-u.since)
	}
	u.since, u.at = 0, 0
}

// close may be called twice.
func (u *cursor) close() error {
	if u == nil {
		return nil
	}
	u.flush()
	var err error
	for _, f := range []*os.File{u.f, u.past} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	u.in, u.f, u.past = "", nil, nil
	return err
}
