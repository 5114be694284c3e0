package blobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/lotabots/lotabots/cluster/spec"
)

// allocated is what a file, or a directory's files, take on the disk: a file with
// holes takes less than its size.
func allocated(name string) int64 {
	sum := int64(0)
	_ = filepath.WalkDir(name, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // it has gone meanwhile
		}
		if info, err := e.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += s.Blocks * 512
			} else {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// Free is what the store's disk has room for, bytes; below 0: it is not known.
func (s *Store) Free() int64 { return s.free() }

func freeAt(dir string) int64 {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil {
		return -1
	}
	return int64(uint64(fs.Bavail) * uint64(fs.Bsize)) //nolint:unconvert // other systems have other types
}

// room makes the files, where the disk has room for what they still lack beside what
// other Writers lack, and has the disk set it aside.
func (w *Writer) room() error {
	_, err := os.Lstat(w.c.root)
	w.fresh = errors.Is(err, fs.ErrNotExist)
	need, promised := max(0, int64(w.m.GetSize())-allocated(w.c.root)), w.s.promised()
	if free := w.s.free(); free >= 0 && need > 0 && need+promised > free {
		return &spec.Error{Code: spec.CodeInternal, Err: syscall.ENOSPC,
			Message: fmt.Sprintf("Model %s needs %d more bytes, and the disk of the model store has room for %d, of which %d are promised to other models.", w.m.GetName(), need, free, promised),
			Hint:    "Free some space on the node's disk: lotabots models gc --dry-run tells what may go."}
	}
	if err := w.c.make(); err != nil {
		return err
	}
	w.kept = true
	for _, e := range w.c.at {
		f, err := os.OpenFile(w.c.file(e), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		kept, err := w.s.reserve(f, e.size)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		w.kept = w.kept && kept
	}
	return nil
}

// promised is what Writers are to write for which the disk has set nothing aside.
func (s *Store) promised() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.mu.writers {
		sum += w.lacks()
	}
	return sum
}

// lacks is how many bytes are still to be written to where there may be no room.
func (w *Writer) lacks() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept {
		return 0
	}
	return w.left
}

// failed is diskError's error, and has what came go where the disk is full.
func (w *Writer) failed(err error) error {
	if full(err) {
		w.full.Store(true)
	}
	return w.s.diskError(err)
}

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// InUse tells which models some process has open or mapped, as far as this one may
// look: engines, and shims that hold them. Where there is no /proc it tells none.
func (s *Store) InUse() map[string]bool {
	found := map[string]bool{}
	dir, err := filepath.EvalSymlinks(s.dir)
	if err != nil {
		return found
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return found
	}
	note := func(path string) {
		rest, ok := strings.CutPrefix(path, dir+"/")
		if !ok {
			return
		}
		first, _, _ := strings.Cut(rest, "/")
		if digest, ok := digestOf(first); ok {
			found[string(digest)] = true
		}
	}
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		open, _ := os.ReadDir("/proc/" + p.Name() + "/fd")
		for _, fd := range open {
			if to, err := os.Readlink("/proc/" + p.Name() + "/fd/" + fd.Name()); err == nil {
				note(to)
			}
		}
		maps, _ := os.ReadFile("/proc/" + p.Name() + "/maps")
		for line := range strings.SplitSeq(string(maps), "\n") {
			if i := strings.IndexByte(line, '/'); i >= 0 {
				note(line[i:])
			}
		}
	}
	return found
}
