package quotas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A room is some nodes with real actors of limits, that see the same nodes alive.
type room struct {
	mu struct {
		sync.Mutex
		alive  []spec.NodeID
		noted  map[string]*wire.BudgetSpent
		writes int
	}
	level atomic.Uint32
	age   atomic.Int64 // ns since the leader was heard of
	nodes map[spec.NodeID]*node
}

type node struct {
	*Keeper
	local *quota.Local
	end   context.CancelFunc
	ended sync.WaitGroup
}

func newRoom(t *testing.T, count int) *room {
	r := &room{nodes: map[spec.NodeID]*node{}}
	r.level.Store(5)
	r.mu.noted = map[string]*wire.BudgetSpent{}
	for i := range count {
		r.start(spec.NodeID(fmt.Sprintf("n%d", i)))
	}
	t.Cleanup(func() {
		for id := range r.nodes {
			r.stop(id)
		}
	})
	return r
}

func (r *room) start(id spec.NodeID) {
	n := &node{}
	n.local = quota.StartLocal(quota.Config{Changed: func() { n.Changed() }, Spent: func(limit string) (*wire.BudgetSpent, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		b, ok := r.mu.noted[limit]
		return b, ok
	}})
	n.Keeper = New(Config{Self: id, Workers: r.workers, Level: r.level.Load, Age: func() time.Duration { return time.Duration(r.age.Load()) },
		Ask: r.ask, Own: n.local.Ask, Collect: n.local.Collect, Propose: r.propose})
	ctx, end := context.WithCancel(context.Background())
	n.end = end
	r.mu.Lock()
	r.nodes[id] = n
	r.mu.alive = append(r.mu.alive, id)
	r.mu.Unlock()
	n.ended.Go(func() { n.Run(ctx, time.Second) })
}

// stop ends a node, and everybody sees it dead.
func (r *room) stop(id spec.NodeID) {
	n := r.nodes[id]
	n.end()
	n.ended.Wait()
	n.local.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, id)
	var left []spec.NodeID
	for _, a := range r.mu.alive {
		if a != id {
			left = append(left, a)
		}
	}
	r.mu.alive = left
}

func (r *room) workers() []spec.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]spec.NodeID(nil), r.mu.alive...)
}

func (r *room) ask(ctx context.Context, to spec.NodeID, q *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	r.mu.Lock()
	n := r.nodes[to]
	r.mu.Unlock()
	if n == nil {
		return nil, errors.New("it is dead")
	}
	return n.Grant(ctx, "", q)
}

func (r *room) propose(_ context.Context, c *wire.Command) (*wire.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.writes++
	for _, b := range c.GetPutBudgets().GetRows() {
		r.mu.noted[b.GetLimit()] = b
	}
	return &wire.Result{}, nil
}

// owner is who owns the limit.
func (r *room) owner(limit string) spec.NodeID {
	for _, n := range r.nodes {
		of, _ := n.owners(limit)
		return of[0]
	}
	return ""
}

func any1(r *room, not spec.NodeID) *node {
	for id, n := range r.nodes {
		if id != not {
			return n
		}
	}
	return nil
}

func lease(t *testing.T, n *node, limit string, want uint32) *wire.QuotaGrant {
	t.Helper()
	g, err := n.Lease(t.Context(), &wire.QuotaRequest{Limit: limit, PerMinute: 60, Want: want})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSlotsAreSpread(t *testing.T) {
	workers := []spec.NodeID{"a", "b", "c", "d"}
	r := newRing(workers)
	count := map[spec.NodeID]int{}
	moved := 0
	less := newRing(workers[:3])
	for slot, of := range r.owners {
		if of[0] == of[1] || of[1] == "" {
			t.Fatalf("slot %d is of %v", slot, of)
		}
		count[of[0]]++
		switch now := less.owners[slot][0]; {
		case of[0] == "d" && now != of[1]:
			t.Errorf("slot %d of d goes to %s, and %s was next", slot, now, of[1])
		case of[0] != "d" && now != of[0]:
			moved++
		}
	}
	for w, n := range count {
		if n < 40 || n > 90 {
			t.Errorf("%s has %d of 256 slots", w, n)
		}
	}
	if moved > 0 {
		t.Errorf("%d slots moved that were not the dead one's", moved)
	}
	seen := map[uint8]bool{}
	for i := range 4000 {
		seen[SlotOf(fmt.Sprintf("key/%d/rpm", i))] = true
	}
	if len(seen) < 250 {
		t.Errorf("4000 limits are in %d slots", len(seen))
	}
}

// TestWhoOwnsWithoutHavingBeenTold knows that: the owner and the next have died at once, or
// one soon after the other.
func TestWhoOwnsWithoutHavingBeenTold(t *testing.T) {
	all, begun := []spec.NodeID{"a", "b", "c", "d"}, time.Unix(1_700_000_000, 0)
	without := func(gone ...spec.NodeID) (left []spec.NodeID) {
		for _, w := range all {
			if !slices.Contains(gone, w) {
				left = append(left, w)
			}
		}
		return left
	}
	for slot, of := range newRing(all).owners {
		heir := newRing(without(of[0], of[1])).owners[slot][0]
		after := func(self spec.NodeID, pause time.Duration, views ...[]spec.NodeID) bool {
			last, at := (*ring)(nil), begun
			for _, workers := range append([][]spec.NodeID{all}, views...) {
				r := newRing(workers)
				r.takeOver(last, self, at)
				last, at = r, at.Add(pause)
			}
			return !last.lost[slot].IsZero()
		}
		for what, got := range map[string]bool{
			"the owner alone dies":            !after(of[1], time.Minute, without(of[0])),
			"both at once":                    after(heir, time.Minute, without(of[0], of[1])),
			"one soon after the other":        after(heir, time.Second, without(of[0]), without(of[0], of[1])),
			"one long after the other":        !after(heir, time.Minute, without(of[0]), without(of[0], of[1])),
			"both, and then another comes":    after(heir, time.Minute, without(of[0], of[1]), without(of[0], of[1])),
			"both, as who owns nothing there": !after(newRing(without(of[0], of[1])).owners[slot][1], time.Minute, without(of[0], of[1])),
		} {
			if !got {
				t.Errorf("slot %d: %s", slot, what)
			}
		}
		last, at := (*ring)(nil), begun
		for _, workers := range [][]spec.NodeID{without(of[0]), all, without(of[0])} {
			r := newRing(workers)
			r.takeOver(last, of[1], at)
			if last != nil {
				at = at.Add(time.Second)
			} else {
				at = at.Add(time.Minute)
			}
			last = r
		}
		if !last.lost[slot].IsZero() {
			t.Errorf("slot %d: who has owned it for long forgets it over one that came and died", slot)
		}
	}
}

// TestNextOwnerKnows: after an owner's death nothing is granted twice.
func TestNextOwnerKnows(t *testing.T) {
	r := newRoom(t, 4)
	for i := range 8 {
		limit := fmt.Sprintf("key/%d/rpm", i)
		if len(r.nodes) < 2 {
			r.start(spec.NodeID(fmt.Sprintf("later%d", i)))
			r.start(spec.NodeID(fmt.Sprintf("more%d", i)))
		}
		owner := r.owner(limit)
		if g := lease(t, any1(r, owner), limit, 55); g.GetGranted() != 55 {
			t.Fatalf("granted %v", g)
		}
		heard(t, r, limit, owner)
		r.stop(owner)
		if g := lease(t, any1(r, ""), limit, 55); g.GetGranted() < 5 || g.GetGranted() > 35 { // some seconds may have gone by
			t.Errorf("the next owner granted %d of the 5 that were left", g.GetGranted())
		}
	}
}

// heard waits until the next owner has been told.
func heard(t *testing.T, r *room, limit string, owner spec.NodeID) {
	t.Helper()
	of, _ := any1(r, "").owners(limit)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		states, err := r.nodes[of[1]].local.Collect(t.Context(), quota.Collect{Most: 1000, All: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			if s.GetLimit() == limit && s.GetEmptyUs() > 20_000_000 {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s was not told of %s by %s", of[1], limit, owner)
		}
	}
}

// TestNewWorkerIsTold: what moves to a worker that has joined goes on there.
func TestNewWorkerIsTold(t *testing.T) {
	r := newRoom(t, 1)
	var limits []string
	for i := range 40 {
		limits = append(limits, fmt.Sprintf("key/%d/rpm", i))
		lease(t, any1(r, ""), limits[i], 60)
	}
	r.start("new")
	for _, limit := range limits {
		if r.owner(limit) != "new" {
			continue
		}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			states, err := r.nodes["new"].local.Collect(t.Context(), quota.Collect{Most: 1000, All: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(states) > 10 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the new worker knows of %d limits", len(states))
			}
		}
		if g := lease(t, r.nodes["new"], limit, 60); g.GetGranted() > 40 { // some seconds may have gone by
			t.Errorf("%s: the new worker granted %d of a limit that was spent", limit, g.GetGranted())
		}
		return
	}
	t.Fatal("no limit moved")
}

// TestOnlyTheOwnerGrants, and only while it hears of the leader.
func TestOnlyTheOwnerGrants(t *testing.T) {
	r := newRoom(t, 2)
	owner := r.owner("l")
	other := any1(r, owner)
	ask := &wire.QuotaRequest{Limit: "l", PerMinute: 60, Want: 1}
	if _, err := other.Grant(t.Context(), "", ask); spec.CodeOf(err) != spec.CodeConflict {
		t.Errorf("one that does not own the limit says %v", err)
	}
	r.age.Store(int64(time.Minute))
	if _, err := other.Lease(t.Context(), ask); spec.CodeOf(err) != spec.CodeStaleState {
		t.Errorf("one that has not heard of the leader says %v", err)
	}
	r.level.Store(4) // an older build is about, and neither moves nor is refused
	if _, err := other.Grant(t.Context(), "", ask); err != nil {
		t.Error(err)
	}
	if none := New(Config{Self: "x", Workers: func() []spec.NodeID { return nil }, Level: func() uint32 { return 5 }}); true {
		if _, err := none.Lease(t.Context(), ask); spec.CodeOf(err) != spec.CodeBusy {
			t.Errorf("with no worker: %v", err)
		}
		if _, err := none.Grant(t.Context(), "", ask); spec.CodeOf(err) != spec.CodeNotFound {
			t.Errorf("without an actor: %v", err)
		}
	}
}

// TestBudgetsAreNoted, and outlive all nodes.
func TestBudgetsAreNoted(t *testing.T) {
	r := newRoom(t, 2)
	ask := func() *wire.BudgetGrant {
		t.Helper()
		g, err := any1(r, "").Lease(t.Context(), &wire.QuotaRequest{Limit: "key/a/tpmonth", Need: 40, Budget: &wire.BudgetAsk{Amount: 100, Period: 2, Want: 40}})
		if err != nil {
			t.Fatal(err)
		}
		return g.GetBudget()
	}
	if g := ask(); g.GetGranted() != 40 || g.GetRemaining() != 60 {
		t.Fatalf("%v", g)
	}
	for id := range r.nodes {
		r.stop(id)
	}
	if b := r.mu.noted["key/a/tpmonth"]; b.GetGranted() != 40 {
		t.Fatalf("noted is %v", b)
	}
	r.start("fresh")
	if g := ask(); g.GetGranted() != 40 || g.GetRemaining() != 20 {
		t.Fatalf("after all have restarted: %v", g)
	}
	if g := ask(); g.GetGranted() != 0 {
		t.Fatalf("over the budget: %v", g)
	}
}
