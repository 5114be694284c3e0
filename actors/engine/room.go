package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A room is one engine's directory, RUNDIR/INSTANCE.d: its socket, or what its program keeps. It is
// locked while the engine runs, so that the next engine finds and removes what a killed node left.
type room struct {
	dir  string
	lock *os.File
}

const (
	roomEnd  = ".d"
	logEnd   = ".log"
	keptLogs = 40 // of engines that are gone
)

// fileName makes an instance's id a file's name: ids begin with a deployment's name, which has none of
// the characters that matter, but a node's safety should not hang on that.
func fileName(id spec.InstanceID) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			return c
		}
		return '_'
	}, strings.TrimLeft(fmt.Sprintf("%.200s", string(id)), "."))
}

// take tidies the run directory and makes the room of an instance, and its log.
func (p *Presets) take(id spec.InstanceID) (*room, *output, error) {
	p.rooms.Lock()
	defer p.rooms.Unlock()
	name := fileName(id)
	if name == "" {
		return nil, nil, fmt.Errorf("the instance has no name")
	}
	run, err := filepath.Abs(p.config.RunDir)
	if err != nil {
		return nil, nil, err
	}
	tidy(run)
	r := &room{dir: filepath.Join(run, name+roomEnd)}
	if err := os.Mkdir(r.dir, 0o700); err != nil { // one that exists is locked: another engine of the instance runs
		return nil, nil, err
	}
	if r.lock, err = lock(r.dir); err != nil {
		return nil, nil, err
	}
	out, err := newOutput(filepath.Join(run, name+logEnd))
	if err != nil {
		r.leave()
		return nil, nil, err
	}
	return r, out, nil
}

func (r *room) leave() {
	_ = os.RemoveAll(r.dir) // what remains, tidy removes
	_ = r.lock.Close()
}

// lock takes an exclusive lock on a directory, which ends with the process at the latest.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// tidy removes rooms that nobody holds, and all but the latest logs.
func tidy(run string) {
	entries, err := os.ReadDir(run)
	if err != nil {
		return // whoever makes a room in it will say so
	}
	type log struct {
		path string
		at   int64
	}
	var logs []log
	for _, e := range entries {
		path := filepath.Join(run, e.Name())
		switch info, err := e.Info(); {
		case err != nil:
		case info.IsDir() && strings.HasSuffix(path, roomEnd):
			if f, err := lock(path); err == nil {
				_ = os.RemoveAll(path)
				_ = f.Close()
			}
		case info.Mode().IsRegular() && strings.HasSuffix(path, logEnd):
			logs = append(logs, log{path, info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(logs, func(a, b log) int { return int(max(-1, min(1, b.at-a.at))) })
	for _, l := range logs[min(len(logs), keptLogs):] {
		if _, err := os.Stat(strings.TrimSuffix(l.path, logEnd) + roomEnd); os.IsNotExist(err) {
			_ = os.Remove(l.path)
			_ = os.Remove(l.path + ".1")
		}
	}
}
