package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/actors/shim"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A room is one engine's directory, RUNDIR/INSTANCE.d. The shim has it locked while the engine runs, and
// removes it: one that nobody has locked is left over. What its shim keeps there is believed, so the engine
// has a directory of its own inside, home, where it runs and keeps its socket and its files.
type room struct {
	dir     string
	home    string
	here    *os.File // home, open
	lock    *os.File // until a shim has it; nil in a room that was found
	log     *os.File // until a shim has it; nil in a room that was found
	logPath string
}

const (
	homeName = "home"
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
func (p *Presets) take(id spec.InstanceID) (*room, error) {
	p.rooms.Lock()
	defer p.rooms.Unlock()
	name := fileName(id)
	if name == "" {
		return nil, fmt.Errorf("the instance has no name")
	}
	run, err := filepath.Abs(p.config.RunDir)
	if err != nil {
		return nil, err
	}
	p.tidy(run)
	dir := filepath.Join(run, name+roomEnd)
	r := &room{dir: dir, home: filepath.Join(dir, homeName), logPath: logOf(run, name)}
	if err := os.Mkdir(r.dir, 0o700); err != nil { // one that exists is locked: another engine of the instance runs
		return nil, err
	}
	if r.lock, err = shim.Lock(r.dir); err == nil {
		if err = p.furnish(r); err == nil {
			r.log, err = shim.NewLog(r.logPath)
		}
	}
	if err != nil {
		r.leave()
		return nil, err
	}
	return r, nil
}

// furnish makes the engine's own directory.
func (p *Presets) furnish(r *room) (err error) {
	if err = os.Mkdir(r.home, 0o700); err != nil {
		return err
	}
	if u := p.config.User; u != nil {
		if err := errors.Join(u.Open(r.dir), os.Chown(r.home, int(u.UID), int(u.GID))); err != nil {
			return err
		}
	}
	r.here, err = os.Open(r.home)
	return err
}

// leave gives up a room in which nothing has been started.
func (r *room) leave() {
	_ = os.RemoveAll(r.dir) // what remains, tidy removes
	for _, f := range []*os.File{r.log, r.lock, r.here} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// close lets go of a room that a shim has.
func (r *room) close() { _ = r.here.Close() }

// tidy removes rooms that nobody holds, with what runs there still, and all but the latest logs.
func (p *Presets) tidy(run string) {
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
			_ = p.clear(path) // most are held
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

// clear ends what runs in a room that nobody holds, and removes it. An error says that somebody holds it, or that it is none.
func (p *Presets) clear(room string) error {
	lock, err := shim.Lock(room)
	if err != nil {
		return err
	}
	defer lock.Close()
	ended, err := shim.Sweep(room)
	if ended != "" || err != nil {
		p.config.Log.Warn("an engine was left without its shim, and was ended", "room", room, "ended", ended, "error", err)
	}
	_ = os.RemoveAll(room)
	return nil
}
