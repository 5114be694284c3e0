package whole

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	unfinished = ".tmp"    // ends the name of what is being written, which begins with the file's own
	abandoned  = time.Hour // after which what is unfinished is nobody's any more
)

// Write replaces the file at path by content, mode 0600. When it returns without an error
// the content is on the disk. After an error the file has its old content, or the new one
// where only bringing the directory to the disk has failed. Several may write one file at
// the same time: the last to end wins.
func Write(path string, content []byte) error { return disk.write(path, content, true) }

// WriteUnsynced is Write for what is worth nothing after a restart of the machine: the
// content may not be on the disk, and when the machine ends, the file may be empty.
func WriteUnsynced(path string, content []byte) error { return disk.write(path, content, false) }

// Place is the end of Write for a content that its caller has written into f, a file in
// path's directory: it brings f to the disk, closes it and gives it path's name. f is closed
// in any case, and removed after an error, unless it has got its name.
func Place(f *os.File, path string) error { return disk.place(f, path, true) }

// SyncDir brings the names in a directory to the disk, on file systems that know of it.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

type file interface {
	io.WriteCloser
	Sync() error
	Name() string
}

// steps are those that may fail.
type steps struct {
	create  func(dir, pattern string) (file, error) // a new one of mode 0600
	rename  func(from, to string) error
	syncDir func(dir string) error
}

var disk = steps{
	create:  func(dir, pattern string) (file, error) { return os.CreateTemp(dir, pattern) },
	rename:  os.Rename,
	syncDir: SyncDir,
}

func (s steps) write(path string, content []byte, synced bool) error {
	dir, name := filepath.Split(path)
	f, err := s.create(filepath.Clean(dir), name+".*"+unfinished)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err := s.place(f, path, synced); err != nil {
		return err
	}
	if synced {
		sweep(filepath.Clean(dir), name)
	}
	return nil
}

func (s steps) place(f file, path string, synced bool) error {
	var err error
	if synced {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if synced {
		return s.syncDir(filepath.Dir(path))
	}
	return nil
}

// sweep removes what writers of the file have left that were ended in the middle. A failure
// costs some space, and the next one tries again.
func sweep(dir, name string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), name+".")
		number, temporary := strings.CutSuffix(number, unfinished)
		if !ours || !temporary || strings.Trim(number, "0123456789") != "" {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
