package feed

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestManyShareOneSnapshot: the state is written once for all who come at a time,
// and for one who comes later only if entries do not go on from there any more.
func TestManyShareOneSnapshot(t *testing.T) {
	t.Parallel()
	h, from := newHub(t), newMemory(10)
	from.d.Padding = bytes.Repeat([]byte("p"), 3*maxPart)
	for range 30 {
		from.put("a", "1", 0)
	}
	h.serve(t, "n1", Handler(from))
	caughtUp := func(m *memory) func() bool { return func() bool { return m.Index() == from.Index() } }
	var crowd []*memory
	for range 40 {
		m := newMemory(10)
		crowd = append(crowd, m)
		h.follow(t, m, "n1")
	}
	for _, m := range crowd {
		eventually(t, 30*time.Second, "everybody has the snapshot", caughtUp(m))
	}
	from.mu.Lock()
	written := from.written
	from.mu.Unlock()
	if written != 1 {
		t.Errorf("the state was written %d times for %d followers", written, len(crowd))
	}
	for range 15 { // the window leaves the snapshot behind
		from.put("a", "2", 0)
	}
	late := newMemory(10)
	h.follow(t, late, "n1")
	eventually(t, 30*time.Second, "one who comes late has it too", caughtUp(late))
	from.mu.Lock()
	defer from.mu.Unlock()
	if from.written != 2 || late.get("a") != "2" {
		t.Errorf("written %d times, a = %q", from.written, late.get("a"))
	}
}

// TestLargeStateIsStreamed: what is too large to be kept is kept by nobody.
func TestLargeStateIsStreamed(t *testing.T) {
	t.Parallel()
	h, from := newHub(t), newMemory(10)
	from.d.Padding = bytes.Repeat([]byte("p"), 3*maxPart)
	for range 30 {
		from.put("a", "1", 0)
	}
	handler := Handler(from).(*server)
	handler.snapshots.most = 2 * maxPart
	h.serve(t, "n1", handler)
	for range 6 { // more than are streamed at a time
		m := newMemory(10)
		h.follow(t, m, "n1")
		defer eventually(t, 30*time.Second, "it has the snapshot", func() bool { return m.Index() == from.Index() })
	}
	eventually(t, 30*time.Second, "it was found to be too large", func() bool {
		handler.snapshots.mu.Lock()
		defer handler.snapshots.mu.Unlock()
		return !handler.snapshots.mu.large.IsZero() && handler.snapshots.mu.last == nil
	})
}

// blocked is a state whose snapshots are not written until it is released.
type blocked struct {
	*memory
	release chan struct{}
}

func (b *blocked) WriteSnapshot(w io.Writer) (uint64, error) {
	<-b.release
	return b.memory.WriteSnapshot(w)
}

// TestWaitingForASnapshot is no silence: the follower stays, and is not current.
func TestWaitingForASnapshot(t *testing.T) {
	t.Parallel()
	h, from := newHub(t), &blocked{newMemory(1), make(chan struct{})}
	from.put("a", "1", 0)
	from.put("a", "2", 0)
	h.serve(t, "n1", Handler(from))
	to := newMemory(10)
	f := h.follow(t, to, "n1")
	time.Sleep(silence + beatEvery)
	if f.Trouble() != nil || f.Age() != Unknown {
		t.Errorf("while it waits: %v, age %s", f.Trouble(), f.Age())
	}
	close(from.release)
	eventually(t, 30*time.Second, "its turn has come", func() bool { return to.get("a") == "2" && f.Age() < time.Second })
}

// TestCopiesAreFew: at most two are in memory, however slow those are who take
// them, and one that nobody takes is let go.
func TestCopiesAreFew(t *testing.T) {
	from := newMemory(5)
	s := newSnapshots(from)
	waiting := func() error { return nil }
	age := func() {
		for range 10 {
			from.put("a", "1", 0)
		}
	}
	var held []*copied
	for range 2 {
		age()
		c, err := s.take(waiting)
		if err != nil || c == nil {
			t.Fatal(c, err)
		}
		held = append(held, c)
	}
	age()
	if c, err := s.take(waiting); c != nil || err != nil {
		t.Fatalf("a third copy was made: %v, %v", c, err)
	}
	s.release(held[0])
	c, err := s.take(waiting)
	if err != nil || c == nil || c.index != from.Index() {
		t.Fatal(c, err)
	}
	s.release(c)
	s.release(held[1])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.older != 0 || c.users != 0 {
		t.Errorf("%d older copies, %d users", s.mu.older, c.users)
	}
	s.mu.forget.Stop()
}

// TestFollowerThatLeavesWhileACopyIsMade leaves it to those who stay.
func TestFollowerThatLeavesWhileACopyIsMade(t *testing.T) {
	from := &blocked{newMemory(5), make(chan struct{})}
	from.put("a", "1", 0)
	s := newSnapshots(from)
	gone := errors.New("gone")
	var work sync.WaitGroup
	work.Go(func() {
		if c, err := s.take(func() error { close(from.release); return gone }); c != nil || !errors.Is(err, gone) {
			t.Errorf("%v, %v", c, err)
		}
	})
	eventually(t, 30*time.Second, "it is being made", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.mu.making != nil
	})
	c, err := s.take(func() error { return nil })
	if err != nil || c == nil || from.written != 1 {
		t.Fatalf("%v, %v, written %d times", c, err, from.written)
	}
	work.Wait()
	s.release(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.forget.Stop()
}

func TestTooSlow(t *testing.T) {
	for _, c := range []struct {
		sent    int64
		elapsed time.Duration
		want    bool
	}{{0, grace, false}, {0, grace + time.Second, true}, {leastRate, grace + time.Second, false}, {60 * leastRate, grace + time.Minute, false}, {59 * leastRate, grace + time.Minute, true}} {
		if got := tooSlow(c.sent, c.elapsed); got != c.want {
			t.Errorf("%d bytes in %s: %v", c.sent, c.elapsed, got)
		}
	}
}

// TestSlowFollowerIsSentToASnapshot: one that falls behind the window gets the
// state anew, and neither gap nor double.
func TestSlowFollowerIsSentToASnapshot(t *testing.T) {
	t.Parallel()
	h, from := newHub(t), newMemory(20)
	h.serve(t, "n1", Handler(from))
	to := &slow{memory: newMemory(20), release: make(chan struct{})}
	f := Follow(Config{Port: h, Voters: func() []spec.NodeID { return []spec.NodeID{"n1"} }, Store: to, Level: 1})
	f.Start()
	defer shutdown(t, f)
	big := string(bytes.Repeat([]byte("x"), 200<<10))
	for i := range 100 { // 20 MB: more than lies in buffers on the way
		from.put("a", big, 0)
		if i == 0 {
			eventually(t, 30*time.Second, "it has begun", func() bool { return to.began() })
		}
	}
	close(to.release)
	eventually(t, 30*time.Second, "it has caught up", func() bool { return to.Index() == from.Index() })
	restored, applied := to.counts()
	if restored == 0 || len(applied) >= 100 {
		t.Errorf("restored %d times, applied %d entries", restored, len(applied))
	}
}
