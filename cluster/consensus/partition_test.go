package consensus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// isolate cuts s off from all others, and returns what mends it.
func (c *cluster) isolate(s *server, ids ...string) (heal func()) {
	for _, o := range c.others(s, ids...) {
		c.net.cut(s.id, o.id)
	}
	return func() {
		for _, o := range c.others(s, ids...) {
			c.net.heal(s.id, o.id)
		}
	}
}

// TestReadIsNeverStale cuts the leader off while both sides read: a read must
// not succeed with an index below that of a write that was answered before it.
func TestReadIsNeverStale(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	old := c.leader("n1", "n2", "n3")
	rest := c.others(old, "n1", "n2", "n3")

	var mu sync.Mutex
	var answered uint64 // the last write's index
	done := make(chan struct{})
	var readers sync.WaitGroup
	good := map[string]int{}
	for _, s := range c.servers {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				least := answered
				mu.Unlock()
				index, err := s.ReadIndex(within(300 * time.Millisecond))
				if err == nil && index < least {
					t.Errorf("%s reads at %d though %d had been answered", s.id, index, least)
				}
				if err == nil {
					mu.Lock()
					good[s.id]++
					mu.Unlock()
				}
			}
		})
	}
	write := func(s *server, name string) {
		r := c.must(s, set(name, "1"))
		mu.Lock()
		answered = max(answered, r.Index)
		mu.Unlock()
	}
	for i := range 10 {
		write(rest[0], fmt.Sprint("before", i))
	}
	heal := c.isolate(old, "n1", "n2", "n3")
	for i := range 20 {
		write(rest[i%2], fmt.Sprint("during", i))
	}
	eventually(t, 30*time.Second, "the old leader knows that its copy ages", func() bool { return old.Age() > time.Second })
	if index, err := old.ReadIndex(within(300 * time.Millisecond)); spec.CodeOf(err) != spec.CodeNoLeader {
		t.Errorf("a node that is cut off reads %d, %v", index, err)
	}
	heal()
	eventually(t, 30*time.Second, "the old leader is current again", func() bool { return old.Age() < time.Second })
	write(old, "after")
	close(done)
	readers.Wait()
	if err := old.Barrier(within(30 * time.Second)); err != nil || old.fsm.setting("during19") != "1" {
		t.Errorf("after the barrier: %v, %q", err, old.fsm.setting("during19"))
	}
	for id := range c.servers {
		if good[id] == 0 {
			t.Errorf("%s never read", id)
		}
	}
}

// TestUnknownOutcome: a write that the leader could not finish says so, and is
// applied once however often it is asked for again.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	c := growWith(t, func(string) func(*Config) { return func(c *Config) { c.Heartbeat = 2 * time.Second } }, "n1", "n2", "n3")
	old := c.leader("n1", "n2", "n3")
	heal := c.isolate(old, "n1", "n2", "n3") // it believes for two seconds that it leads
	cmd := set("a", "b")
	if _, err := old.Propose(within(1500*time.Millisecond), cmd); spec.CodeOf(err) != spec.CodeOutcomeUnknown {
		t.Fatalf("a leader that is cut off: %v", err)
	}
	// A new write there is known to have failed: it no longer leads.
	eventually(t, 30*time.Second, "it has noticed", func() bool { return !old.IsLeader() })
	if _, err := old.Propose(within(300*time.Millisecond), set("c", "d")); spec.CodeOf(err) != spec.CodeNoLeader {
		t.Errorf("a node that is cut off: %v", err)
	}
	heal()
	first := c.must(old, cmd)
	again := c.must(c.others(old, "n1", "n2", "n3")[0], cmd)
	if first.Index != again.Index || !again.Replayed {
		t.Errorf("first %v, again %v", first, again)
	}
}

// TestNoQuorum: the last of three says that there is no leader.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	leader := c.leader("n1", "n2", "n3")
	rest := c.others(leader, "n1", "n2", "n3")
	c.kill(leader.id)
	c.kill(rest[1].id)
	eventually(t, 30*time.Second, "it knows no leader", func() bool { _, ok := rest[0].Leader(); return !ok })
	if _, err := rest[0].Propose(within(time.Second), set("a", "b")); spec.CodeOf(err) != spec.CodeNoLeader {
		t.Errorf("a write without a quorum: %v", err)
	}
	began := time.Now()
	if err := rest[0].Barrier(within(500 * time.Millisecond)); spec.CodeOf(err) != spec.CodeNoLeader || time.Since(began) > 20*time.Second {
		t.Errorf("a read without a quorum: %v after %s", err, time.Since(began))
	}
	c.start(leader.id)
	c.must(rest[0], set("a", "b"))
}

// TestExpelledWhileAway: a server that was replaced while nobody could tell it
// finds out when it comes back, and can still write.
func TestExpelledWhileAway(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	leader := c.leader("n1", "n2", "n3")
	away := c.others(leader, "n1", "n2", "n3")[0]
	c.kill(away.id)
	c.must(leader, setState(away.id, wire.NodeState_NODE_STATE_REMOVED))
	eventually(t, 30*time.Second, "the group goes on without it", func() bool { return len(leader.Voters()) == 2 })
	time.Sleep(300 * time.Millisecond) // raft has tried to tell it for the last time
	c.start(away.id)
	eventually(t, 30*time.Second, "it knows that it is no server any more", func() bool { return !away.InConfiguration() })
	c.must(away, set("from", "outside"))
	if got, ok := away.Leader(); !ok || got != leader.ID() {
		t.Errorf("it takes %q for the leader", got)
	}
	back := node(away)
	c.must(leader, putNode(back)) // joins again
	eventually(t, 30*time.Second, "it is taken in again", func() bool {
		return away.InConfiguration() && away.fsm.setting("from") == "outside" && len(leader.Voters()) == 3
	})
}

// TestForwarder writes and reads from a node that is no server, through a change
// of leader.
func TestForwarder(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	outside := c.net.listen(t, "gw", "")
	f := NewForwarder(ForwardConfig{Port: outside, Voters: func() []spec.NodeID { return []spec.NodeID{"n1", "n2", "n3"} }})
	leader := c.leader("n1", "n2", "n3")
	if got, ok := f.Leader(); !ok || got != leader.ID() {
		t.Errorf("leader %q, want %q", got, leader.ID())
	}
	cmd := set("a", "b")
	first, err := f.Propose(within(30*time.Second), cmd)
	if err != nil {
		t.Fatal(err)
	}
	c.kill(leader.id)
	again, err := f.Propose(within(30*time.Second), cmd)
	if err != nil || again.Index != first.Index || !again.Replayed {
		t.Fatalf("again %v, %v; first %v", again, err, first)
	}
	index, err := f.ReadIndex(within(30 * time.Second))
	if err != nil || index < first.Index {
		t.Errorf("read index %d, %v", index, err)
	}
	nobody := NewForwarder(ForwardConfig{Port: outside, Voters: func() []spec.NodeID { return nil }})
	if _, err := nobody.Propose(within(200*time.Millisecond), set("a", "b")); spec.CodeOf(err) != spec.CodeNoLeader {
		t.Errorf("without voters: %v", err)
	}
	if _, ok := nobody.Leader(); ok {
		t.Error("a leader without voters")
	}
}

// TestShutdownUnderLoad ends a leader while everybody proposes: each proposal is
// answered, and nothing is left running.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1")
	s := c.servers["n1"]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var proposing sync.WaitGroup
	for i := range 8 {
		proposing.Go(func() {
			for j := 0; ; j++ {
				_, err := s.Propose(ctx, set(fmt.Sprint(i), fmt.Sprint(j)))
				if err != nil {
					if code := spec.CodeOf(err); code != spec.CodeNoLeader && code != spec.CodeOutcomeUnknown {
						t.Errorf("at the end: %v", err)
					}
					return
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	c.end(s)
	proposing.Wait()
	if ctx.Err() != nil {
		t.Error("a proposal was kept waiting")
	}
}
