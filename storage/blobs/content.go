package blobs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/spec/whole"
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
		if err := whole.SyncDir(dir); err != nil {
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
