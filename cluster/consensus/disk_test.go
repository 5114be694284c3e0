package consensus

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// stallingStore behaves as storage/raftlog does on a disk that stands still:
// StoreLogs fails after 2 s, and at once until the disk moves on; what Raft ends
// the process over waits.
type stallingStore struct {
	*raft.InmemStore
	mu    sync.Mutex
	still chan struct{} // closed when the disk moves on; nil while it does
	late  bool
}

var errStalled = errors.New("the disk does not answer")

func (s *stallingStore) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.still = make(chan struct{})
}

func (s *stallingStore) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.still != nil {
		close(s.still)
	}
	s.still, s.late = nil, false
}

func (s *stallingStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *stallingStore) StoreLogs(logs []*raft.Log) error {
	s.mu.Lock()
	still, late := s.still, s.late
	s.late = s.late || still != nil
	s.mu.Unlock()
	if still == nil {
		return s.InmemStore.StoreLogs(logs)
	}
	if !late {
		time.Sleep(2 * time.Second)
	}
	return errStalled
}

func (s *stallingStore) wait() {
	s.mu.Lock()
	still := s.still
	s.mu.Unlock()
	if still != nil {
		<-still
	}
}

func (s *stallingStore) Set(name, value []byte) error {
	s.wait()
	return s.InmemStore.Set(name, value)
}

func (s *stallingStore) SetUint64(name []byte, value uint64) error {
	s.wait()
	return s.InmemStore.SetUint64(name, value)
}

func (s *stallingStore) DeleteRange(low, high uint64) error {
	s.wait()
	return s.InmemStore.DeleteRange(low, high)
}

// TestLeaderWithStalledDisk: the leader's disk stands still. Within 5 s the write
// that found it so is agreed under another leader, once; the old leader answers
// meanwhile, and follows when its disk moves on.
func TestLeaderWithStalledDisk(t *testing.T) {
	t.Parallel()
	disks := map[string]*stallingStore{}
	c := growWith(t, func(id string) func(*Config) {
		disks[id] = &stallingStore{InmemStore: raft.NewInmemStore()}
		return func(c *Config) { c.Logs, c.Stable = disks[id], disks[id] }
	}, "a", "b", "c")
	old := c.leader("a", "b", "c")
	others := c.others(old, "a", "b", "c")
	c.must(old, set("before", "x"))
	disks[old.id].stall()
	t.Cleanup(disks[old.id].resume) // before the servers end
	begin := time.Now()
	command := set("during", "x")
	c.must(old, command)
	if took := time.Since(begin); took > 20*time.Second { // 5 s on a machine that is not overloaded
		t.Errorf("the write took %v", took)
	}
	if old.IsLeader() {
		t.Error("the server whose disk stands still leads")
	}
	now := c.leader(others[0].id, others[1].id)
	c.must(old, set("forwarded", "x")) // it has no disk, and a network
	if got := old.fsm.setting("before"); got != "x" {
		t.Errorf("the server whose disk stands still reads %q", got)
	}
	disks[old.id].resume()
	c.must(now, set("after", "x"))
	eventually(t, 30*time.Second, "the old leader has caught up", func() bool { return old.fsm.setting("after") == "x" })
	count := 0
	for _, id := range old.fsm.order() {
		if id == command.RequestId {
			count++
		}
	}
	if count != 1 {
		t.Errorf("the write was applied %d times", count)
	}
}
