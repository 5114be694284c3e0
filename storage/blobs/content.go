package blobs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A content is a model's files on disk: one, or a directory of several.
type content struct {
	root string // the file, or the directory
	at   []extent
}

func (c content) file(e extent) string {
	if e.path == "" {
		return c.root
	}
	return filepath.Join(c.root, filepath.FromSlash(e.path))
}

// read fills b with the content from offset on. A file that is too short gives io.EOF.
func (c content) read(b []byte, offset int64) error {
	from := c.from(offset)
	defer from.close()
	return from.read(b)
}

// write puts b where it belongs, in files that make has made.
func (c content) write(b []byte, offset int64) error {
	to := c.from(offset)
	return errors.Join(to.write(b), to.close())
}

// from writes, or reads, the content from offset on.
func (c content) from(offset int64) *cursor { return &cursor{c: c, offset: offset} }

// A cursor goes through a content's files, one of which it has open. The nil cursor
// writes nothing.
type cursor struct {
	c      content
	offset int64
	f      *os.File
	in     string // the file that is open
	since  int64  // where in it writing began
	at     int64  // and has got to
}

func (u *cursor) open(path string, flag int) error {
	if u.f != nil && u.in == path {
		return nil
	}
	err := u.close()
	if err == nil {
		u.in = path
		u.f, err = os.OpenFile(path, flag, 0)
	}
	return err
}

func (u *cursor) write(b []byte) error {
	if u == nil {
		return nil
	}
	for _, piece := range within(u.c.at, u.offset, len(b)) {
		was := u.f
		if err := u.open(u.c.file(piece), os.O_WRONLY); err != nil {
			return err
		}
		if u.f != was {
			u.since = piece.offset
		}
		if _, err := u.f.WriteAt(b[:piece.size], piece.offset); err != nil {
			return err
		}
		u.at = piece.offset + piece.size
		u.offset += piece.size
		b = b[piece.size:]
	}
	return nil
}

// read fills b. A file that is too short gives io.EOF.
func (u *cursor) read(b []byte) error {
	for _, piece := range within(u.c.at, u.offset, len(b)) {
		if err := u.open(u.c.file(piece), os.O_RDONLY); err != nil {
			return err
		}
		if n, err := u.f.ReadAt(b[:piece.size], piece.offset); int64(n) < piece.size {
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

// close has the disk begin with what was written. It may be called twice.
func (u *cursor) close() error {
	if u == nil || u.f == nil {
		return nil
	}
	if u.at > u.since {
		flush(u.f, u.since, u.at-u.since)
	}
	err := u.f.Close()
	u.f, u.since, u.at = nil, 0, 0
	return err
}

// make makes every file, with its size; what is in them stays.
func (c content) make() error {
	for _, e := range c.at {
		name := c.file(e)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(e.size), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sync brings every file to the disk, and the directories that they are in.
func (c content) sync() error {
	dirs := map[string]bool{}
	for _, e := range c.at {
		f, err := os.Open(c.file(e))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		for dir := filepath.Dir(c.file(e)); e.path != "" && len(dir) >= len(c.root); dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// open lets others read the files.
func (c content) open() error {
	if info, err := os.Stat(c.root); err != nil || !info.IsDir() {
		return errors.Join(err, os.Chmod(c.root, sharedMode))
	}
	return filepath.WalkDir(c.root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Chmod(path, sharedMode|0o111)
		case e.Type().IsRegular():
			return os.Chmod(path, sharedMode)
		}
		return nil
	})
}

// stamp tells whether any of the files may have changed since it was last taken.
func (c content) stamp() (stamp, error) {
	var all stamp
	for _, e := range c.at {
		info, err := os.Stat(c.file(e))
		if err != nil {
			return stamp{}, err
		}
		all.size += info.Size()
		if t := info.ModTime(); t.After(all.modified) {
			all.modified = t
		}
	}
	return all, nil
}
