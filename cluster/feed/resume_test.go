package feed

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// strict is a state that wants every entry once, in order.
type strict struct {
	*memory
	t *testing.T
}

func (s strict) ApplyEntry(e *wire.Entry) (*wire.Result, error) {
	if at := s.Index(); e.GetIndex() != at+1 {
		s.t.Errorf("entry %d came after index %d", e.GetIndex(), at)
	}
	return s.memory.ApplyEntry(e)
}

func (s strict) ReadSnapshot(r io.Reader) error {
	at := s.Index()
	err := s.memory.ReadSnapshot(r)
	if now := s.Index(); now < at {
		s.t.Errorf("a snapshot went back from %d to %d", at, now)
	}
	return err
}

// TestServersComeAndGo: whichever of three servers are there, some behind the
// others and some beyond their windows, the followers get each entry once, without
// a gap, and end with the same state.
func TestServersComeAndGo(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	h := newHub(t)
	servers := map[string]*memory{}
	stops := map[string]func(){}
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		servers[id] = newMemory(8)
	}
	var log []string // values, by index - 1
	var followers []*memory
	for range 5 {
		m := newMemory(8)
		followers = append(followers, m)
		f := Follow(Config{Port: h, Voters: func() []spec.NodeID { return []spec.NodeID{"a", "b", "c"} }, Store: strict{m, t}, Level: 1})
		f.Start()
		defer shutdown(t, f)
	}
	catchUp := func(id string, to int) {
		for m := servers[id]; int(m.Index()) < to; {
			m.put(fmt.Sprint("k", m.Index()%7), log[m.Index()], 0)
		}
	}
	for range 120 {
		log = append(log, fmt.Sprint("v", len(log)))
		id := ids[r.IntN(len(ids))]
		switch stop := stops[id]; {
		case r.IntN(4) > 0:
		case stop != nil:
			stop()
			stops[id] = nil
		default:
			stops[id] = h.serve(t, id, Handler(servers[id]))
		}
		for _, id := range ids {
			catchUp(id, max(0, len(log)-r.IntN(12)))
		}
		time.Sleep(time.Duration(r.IntN(15)) * time.Millisecond)
	}
	for _, id := range ids {
		catchUp(id, len(log))
		if stops[id] == nil {
			h.serve(t, id, Handler(servers[id]))
		}
	}
	for i, m := range followers {
		eventually(t, 30*time.Second, fmt.Sprintf("follower %d has everything (seed %d)", i, seed), func() bool { return int(m.Index()) == len(log) })
		for k := range 7 {
			if name := fmt.Sprint("k", k); m.get(name) != servers["a"].get(name) {
				t.Errorf("seed %d: follower %d has %s = %q, want %q", seed, i, name, m.get(name), servers["a"].get(name))
			}
		}
	}
}
