package placement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// moved runs to rest and counts what was placed, by cause; check sees each plan.
func (s *sim) moved(t fataler, check func([]Action)) map[Cause]int {
	out := map[Cause]int{}
	s.run(t, func(actions []Action) {
		for _, a := range actions {
			if a.Kind == Place {
				out[a.Cause]++
			}
		}
		if check != nil {
			check(actions)
		}
	})
	return out
}

// TestALopsidedDeploymentIsEvenedOut once those who came back have been well for long,
// and at no cost to those who are served.
func TestALopsidedDeploymentIsEvenedOut(t *testing.T) {
	s := newSim()
	s.w.SettleAfter = 10 * time.Minute
	for i := range 4 {
		s.node(fmt.Sprintf("e%d", i), "eu", 16*gib)
		s.node(fmt.Sprintf("u%d", i), "us", 16*gib)
	}
	s.deploy("m", 4, 4*gib)
	remember(s)
	s.run(t, nil)
	s.loses(func(n *wire.Node) bool { return n.Region == "us" })
	want(t, "moved for the dead", s.moved(t, nil), map[Cause]int{NodeLost: 2})
	s.loses(func(*wire.Node) bool { return false })
	want(t, "moved at their return", s.moved(t, nil), map[Cause]int{})
	s.o.Now = s.o.Now.Add(s.w.SettleAfter)
	got := s.moved(t, func(actions []Action) {
		if s.ready("m") < 4 {
			t.Fatal("fewer served while they moved")
		}
	})
	want(t, "moved once that has lasted", got, map[Cause]int{Rebalanced: 2})
	want(t, "in eu", count(s, "eu"), 2)
}

func count(s *sim, region string) (n int) {
	for _, p := range s.w.Placements {
		i := slices.IndexFunc(s.w.Nodes, func(n *wire.Node) bool { return n.Id == p.Node })
		n += b2i(s.w.Nodes[i].Region == region)
	}
	return n
}

// TestANewNodeIsUsed: devices with many more instances than another give it some, but not
// for one or two.
func TestANewNodeIsUsed(t *testing.T) {
	s := newSim()
	s.w.SettleAfter = time.Minute
	s.node("n1", "eu", 64*gib)
	for i := range 6 {
		s.deploy(fmt.Sprintf("m%d", i), 1, 4*gib)
	}
	s.run(t, nil)
	s.node("n2", "eu", 64*gib)
	remember(s)
	s.o.Now = s.o.Now.Add(time.Minute)
	want(t, "moved", s.moved(t, nil), map[Cause]int{Rebalanced: 2})
	want(t, "placed", s.on(), map[string]int{"n1": 4, "n2": 2})
}

func TestRulesOfADeployment(t *testing.T) {
	s := three()
	d := s.deploy("m", 2, 2*gib)
	d.Placing = &wire.Placing{Nodes: []string{"n2", "n3"}}
	s.run(t, nil)
	want(t, "only there", s.on(), map[string]int{"n2": 1, "n3": 1})
	d.Placing = &wire.Placing{Pack: true, PreferNodes: []string{"n1"}}
	s.run(t, nil)
	want(t, "rules that allow what is", s.on(), map[string]int{"n2": 1, "n3": 1})
	d.Placing.Nodes = []string{"n1", "n3"}
	got := s.moved(t, func([]Action) {
		if s.ready("m") < 2 {
			t.Fatal("fewer served while it moved")
		}
	})
	want(t, "moved", got, map[Cause]int{Ruled: 1})
	want(t, "placed", s.on(), map[string]int{"n1": 1, "n3": 1})
	d.Placing = &wire.Placing{ApartFrom: []string{"m"}}
	d.Replicas = 4
	s.run(t, nil)
	want(t, "one on each", s.on(), map[string]int{"n1": 1, "n2": 1, "n3": 1})
	why := s.plan()
	if len(why) != 1 || !strings.Contains(why[0].Reason, "apart from") {
		t.Errorf("%+v", why)
	}
}

func TestDeploymentsThatAreApart(t *testing.T) {
	s := three()
	s.deploy("a", 1, 2*gib).Placing = &wire.Placing{Nodes: []string{"n1", "n2"}}
	s.deploy("b", 1, 2*gib).Placing = &wire.Placing{PreferNodes: []string{"n1"}, ApartFrom: []string{"a"}}
	s.run(t, nil)
	if on := s.on(); on["n1"] != 1 || on["n2"]+on["n3"] != 1 {
		t.Errorf("placed on %v", on)
	}
	s.w.Deployments[0].Replicas = 2 // the only other node that it may have may have b
	s.run(t, nil)
	for _, p := range s.w.Placements {
		for _, o := range s.w.Placements {
			if p.Deployment != o.Deployment && p.Node == o.Node {
				t.Errorf("both are on %s", p.Node)
			}
		}
	}
}

// TestTheFileIsWorthItsSize: a node that has it is chosen, unless another is emptier by more.
func TestTheFileIsWorthItsSize(t *testing.T) {
	s := three()
	s.w.Models = []*wire.Model{{Name: "w", Digest: []byte("w"), Size: 3 * gib}}
	s.deploy("m", 1, 4*gib).Model = "w"
	held := note("embedded")
	held.Models = [][]byte{[]byte("w")}
	s.tells("n2", held)
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n2": 1})
	s.deploy("o", 1, 4*gib).Model = "w"
	s.run(t, nil)
	want(t, "n2 is fuller by more than the file", s.on()["n2"], 1)
}

// TestFloorsComeBeforeTheRest: what is above its floor ends for what is below.
func TestFloorsComeBeforeTheRest(t *testing.T) {
	s := three()
	s.deploy("a", 1, 12*gib)
	s.w.Replicas["a"], s.w.Floors["a"] = 3, 1
	s.run(t, nil)
	want(t, "ready", s.ready("a"), 3)
	s.deploy("b", 1, 8*gib)
	s.run(t, nil)
	want(t, "ready", fmt.Sprint(s.ready("a"), s.ready("b")), "2 1")
	s.deploy("c", 2, 12*gib) // its first ends the second of a, its second may not
	s.run(t, nil)
	want(t, "ready", fmt.Sprint(s.ready("a"), s.ready("b"), s.ready("c")), "1 1 1")
}

// A board is memory of devices and what is on them, for exact answers.
type board struct {
	free []int
	on   []int // device of each piece; -1: none
	size []int
}

// fits tells whether all pieces that have no device find one, with the others where they are.
func (b board) fits() bool {
	i := slices.Index(b.on, -1)
	if i < 0 {
		return true
	}
	for d := range b.free {
		if b.free[d] >= b.size[i] {
			next := board{slices.Clone(b.free), slices.Clone(b.on), b.size}
			next.free[d] -= b.size[i]
			next.on[i] = d
			if next.fits() {
				return true
			}
		}
	}
	return false
}

// moves is the least number of moves, one after the other, until all fits; most+1: there is none.
func (b board) moves(most int) int {
	for n := range most + 1 {
		if b.within(n) {
			return n
		}
	}
	return most + 1
}

func (b board) within(n int) bool {
	if b.fits() {
		return true
	}
	if n == 0 {
		return false
	}
	for i, from := range b.on {
		for to := range b.free {
			if from < 0 || to == from || b.free[to] < b.size[i] {
				continue
			}
			next := board{slices.Clone(b.free), slices.Clone(b.on), b.size}
			next.free[to] -= b.size[i]
			next.free[from] += b.size[i]
			next.on[i] = to
			if next.within(n - 1) {
				return true
			}
		}
	}
	return false
}

// TestAllIsPlacedThatCanBe: from nothing, where any way of packing has room for all, all is placed.
func TestAllIsPlacedThatCanBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, b := drawBoard(t, 7)
		if !b.fits() {
			return
		}
		got := s.moved(t, nil)
		for _, d := range s.w.Deployments {
			if s.ready(d.Name) != 1 {
				t.Fatalf("%s is not placed, sizes are %v: %+v", d.Name, b.size, s.plan())
			}
		}
		if n := len(b.size); got[Scaled] != n || len(got) != 1 {
			t.Fatalf("%v for %d", got, n)
		}
	})
}

func drawBoard(t *rapid.T, most int) (*sim, board) {
	s, b := newSim(), board{}
	for n := range rapid.IntRange(1, 4).Draw(t, "devices") {
		s.node(fmt.Sprint("n", n), "eu", 16*gib)
		b.free = append(b.free, 15) // beside the head-room
	}
	for i := range rapid.IntRange(1, most).Draw(t, "pieces") {
		size := rapid.IntRange(1, 12).Draw(t, "size")
		s.deploy(fmt.Sprint("m", i), 1, uint64(size)*gib)
		b.on, b.size = append(b.on, -1), append(b.size, size)
	}
	return s, b
}

// TestRoomIsMadeWithTheFewestMoves: one more that has no room gets it, if up to so many
// moves of others give it some, and no more are made than it takes.
func TestRoomIsMadeWithTheFewestMoves(t *testing.T) {
	tight := map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		s, b := drawBoard(t, 6)
		s.run(t, nil)
		for range rapid.IntRange(0, 2).Draw(t, "gone") { // leaves holes
			s.w.Deployments = slices.Delete(s.w.Deployments, 0, min(1, len(s.w.Deployments)))
			s.run(t, nil)
		}
		b.on, b.size = nil, nil
		b.free = slices.Repeat([]int{15}, len(s.w.Nodes))
		for _, p := range s.w.Placements {
			at := slices.IndexFunc(s.w.Nodes, func(n *wire.Node) bool { return n.Id == p.Node })
			b.on, b.size = append(b.on, at), append(b.size, int(p.MemoryBytes/gib))
			b.free[at] -= int(p.MemoryBytes / gib)
		}
		if len(s.w.Placements) < len(s.w.Deployments) {
			return
		}
		size := rapid.IntRange(1, 15).Draw(t, "one more")
		s.deploy("x", 1, uint64(size)*gib)
		b.on, b.size = append(b.on, -1), append(b.size, size)
		least := b.moves(roomMoves)
		tight[least]++
		got := s.moved(t, func([]Action) {
			for _, p := range s.w.Placements {
				if p.Deployment != "x" && s.ready(p.Deployment) == 0 {
					t.Fatalf("%s does not serve while room is made", p.Deployment)
				}
			}
		})
		switch {
		case least > roomMoves && (s.ready("x") > 0 || got[Displaced] > 0):
			t.Fatalf("there is no room for it, and yet %v", got)
		case least <= roomMoves && (s.ready("x") != 1 || got[Displaced] != least || got[Scaled] != 1):
			t.Fatalf("%d moves are enough: %v, %+v", least, got, s.plan())
		}
	})
	t.Logf("drawn, by the moves that it took: %v", tight)
}

// TestADeathMovesTheDeadAlone: what runs on other nodes stays, unless it makes room.
func TestADeathMovesTheDeadAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCluster(t)
		remember(s)
		s.run(t, nil)
		victim := rapid.SampledFrom(s.w.Nodes).Draw(t, "dies").Id
		dead := map[spec.InstanceID]bool{}
		for _, p := range s.w.Placements {
			dead[spec.InstanceID(p.Instance)] = p.Node == victim
		}
		lost := 0
		for _, is := range dead {
			lost += b2i(is)
		}
		s.loses(func(n *wire.Node) bool { return n.Id == victim })
		placed, displaced := 0, map[spec.InstanceID]bool{}
		for _, a := range steps(s.plan()) {
			switch {
			case a.Kind == Place && a.Cause == Displaced:
				displaced[a.Replaces] = true
			case a.Kind == Place && a.Cause == NodeLost:
				placed++
			case a.Kind == Place && a.Cause == Scaled && hungry(s, a.Deployment): // it had no place before, and has the dead's region now
			case a.Kind == Remove && dead[a.Instance]:
			default:
				t.Fatalf("%+v, where %s has died", a, victim)
			}
		}
		if placed > lost || len(displaced) > 0 && placed == lost {
			t.Fatalf("%d placed for %d, and %v moved", placed, lost, slices.Collect(maps.Keys(displaced)))
		}
	})
}

func hungry(s *sim, deployment string) bool {
	d := s.w.Deployments[slices.IndexFunc(s.w.Deployments, func(d *wire.Deployment) bool { return d.Name == deployment })]
	return s.ready(deployment) < max(s.wanted(d), int(d.MinPerRegion))
}
