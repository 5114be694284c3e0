package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

const (
	recordName = "engine.json" // in the room
	socketName = "shim"        // in the room
)

// A record names what runs, for whoever finds the room without its shim.
type record struct {
	Boot   string `json:"boot"` // the machine's
	PID    int    `json:"pid"`  // 0: not started yet
	Start  uint64 `json:"start"`
	Cgroup string `json:"cgroup,omitempty"` // directory
}

func (r record) write(room string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return whole.WriteUnsynced(filepath.Join(room, recordName), raw) // another boot's says nothing
}

// maxRecord bounds what is read of a record.
const maxRecord = 4 << 10

// readRecord reads a plain file alone: engines can write in their rooms, and a pipe or a device in the
// record's place must not hold up the node. What is none counts as damaged.
func readRecord(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) { // a link, a socket
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

// Sweep ends what a shim that is gone has left running, and waits until it is gone. Whoever calls it holds
// the room's lock and removes the room. It tells what it has ended; empty: nothing was left.
func Sweep(room string) (ended string, err error) {
	raw, err := readRecord(filepath.Join(room, recordName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var r record
	if json.Unmarshal(raw, &r) != nil || r.Boot != bootID() {
		return "", nil // damaged, or from before a restart of the machine
	}
	if g := openCgroup(r.Cgroup); g != nil {
		g.kill()
		defer g.remove()
	}
	for end := time.Now().Add(childWait); ; time.Sleep(2 * time.Millisecond) {
		left := leftOf(r, processes())
		if len(left) == 0 {
			return ended, nil
		}
		if ended == "" {
			ended = fmt.Sprintf("processes %d", left)
		}
		if time.Now().After(end) {
			return ended, fmt.Errorf("processes %d do not end, though they were killed", left)
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// below finds the living descendants of a process.
func below(root int, all map[int]stat) (found []int) {
	children := map[int][]int{}
	for pid, s := range all {
		children[s.parent] = append(children[s.parent], pid)
	}
	for next := children[root]; len(next) > 0; {
		pid := next[len(next)-1]
		next = append(next[:len(next)-1], children[pid]...)
		if all[pid].state != 'Z' {
			found = append(found, pid)
		}
	}
	return found
}

// leftOf finds the living processes of the recorded one's group and session. Its number stays theirs while
// one of them lives; where another process has it now, they are all gone.
func leftOf(r record, all map[int]stat) (left []int) {
	if leader, ok := all[r.PID]; r.PID <= 1 || ok && leader.start != r.Start {
		return nil
	}
	for pid, s := range all {
		if (s.session == r.PID || s.group == r.PID) && s.state != 'Z' {
			left = append(left, pid)
		}
	}
	return left
}
