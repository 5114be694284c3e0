package placement

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A piece is an instance on a table: of so much on each of so many devices of a node.
type piece struct {
	size, width int
	demand      bool
	on          []int // devices; nil: none
}

// A tableau is devices with 15 of memory each and the pieces on them.
type tableau struct {
	node   []int // by device
	pieces []piece
}

func (b *tableau) full(d int) bool {
	always, largest := 0, 0
	for _, p := range b.pieces {
		switch {
		case !slices.Contains(p.on, d):
		case p.demand:
			largest = max(largest, p.size)
		default:
			always += p.size
		}
	}
	return always+largest > 15
}

// places are all sets of devices that a piece could be on, room or not.
func (b *tableau) places(width int) (out [][]int) {
	for i := range b.node {
		if width == 1 {
			out = append(out, []int{i})
			continue
		}
		for j := i + 1; j < len(b.node); j++ {
			if b.node[i] == b.node[j] {
				out = append(out, []int{i, j})
			}
		}
	}
	return out
}

// moves is the least number of moves, one after the other, until the last piece fits too; most+1: there is none.
func (b *tableau) moves(most int) int {
	for n := range most + 1 {
		if b.within(n) {
			return n
		}
	}
	return most + 1
}

func (b *tableau) within(n int) bool {
	last := &b.pieces[len(b.pieces)-1]
	for _, at := range b.places(last.width) {
		last.on = at
		fits := !slices.ContainsFunc(at, b.full)
		if last.on = nil; fits {
			return true
		}
	}
	if n == 0 {
		return false
	}
	for i := range len(b.pieces) - 1 {
		from := b.pieces[i].on
		for _, to := range b.places(b.pieces[i].width) {
			if slices.Equal(from, to) {
				continue
			}
			both := b.pieces[i]
			both.on = to
			b.pieces = slices.Insert(b.pieces, 0, both) // it is on both for a while
			fits := !slices.ContainsFunc(to, b.full)
			b.pieces = slices.Delete(b.pieces, 0, 1)
			if !fits {
				continue
			}
			b.pieces[i].on = to
			found := b.within(n - 1)
			if b.pieces[i].on = from; found {
				return true
			}
		}
	}
	return false
}

func drawPiece(t *rapid.T, s *sim, name string) piece {
	p := piece{size: rapid.IntRange(1, 15).Draw(t, "size"), width: 1, demand: rapid.Bool().Draw(t, "on demand")}
	d := s.deploy(name, 1, uint64(p.size)*gib)
	if p.demand {
		d.Residency = &wire.Residency{OnDemand: true}
	} else if rapid.IntRange(0, 2).Draw(t, "wide") == 0 {
		d.Gpus, p.width = 2, 2
	}
	return p
}

// TestRoomIsMadeOfAllKinds: also what is loaded on demand, or spreads over devices, makes
// room and is made room for: no move is in vain, none too many, and all serve meanwhile. Where
// nothing spreads, room is found wherever there is some.
func TestRoomIsMadeOfAllKinds(t *testing.T) {
	found, missed, kinds := 0, 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s, b := newSim(), &tableau{}
		for n := range rapid.IntRange(1, 3).Draw(t, "nodes") {
			devices := slices.Repeat([]uint64{16 * gib}, rapid.IntRange(1, 2).Draw(t, "devices"))
			s.node(fmt.Sprint("n", n), "eu", devices...)
			b.node = append(b.node, slices.Repeat([]int{n}, len(devices))...)
		}
		drawn := map[string]piece{}
		for i := range rapid.IntRange(1, 5).Draw(t, "pieces") {
			name := fmt.Sprint("m", i)
			drawn[name] = drawPiece(t, s, name)
		}
		s.run(t, nil)
		for range rapid.IntRange(0, 2).Draw(t, "gone") {
			s.w.Deployments = slices.Delete(s.w.Deployments, 0, min(1, len(s.w.Deployments)))
			s.run(t, nil)
		}
		if len(s.w.Placements) < len(s.w.Deployments) {
			return
		}
		for _, p := range s.w.Placements {
			x := drawn[p.Deployment]
			for _, id := range append([]string{p.Device}, p.Devices...) {
				x.on = append(x.on, slices.IndexFunc(s.o.Devices, func(d Device) bool { return d.Load.Device == id }))
			}
			slices.Sort(x.on)
			b.pieces = append(b.pieces, x)
		}
		b.pieces = append(b.pieces, drawPiece(t, s, "x"))
		least := b.moves(roomMoves)
		moved := map[string]bool{}
		got := s.moved(t, func(actions []Action) {
			check(t, s, actions)
			for _, a := range actions {
				moved[a.Deployment] = moved[a.Deployment] || a.Kind == Place && a.Cause == Displaced
			}
			for _, p := range s.w.Placements {
				if p.Deployment != "x" && s.ready(p.Deployment) == 0 {
					t.Fatalf("%s does not serve while room is made", p.Deployment)
				}
			}
		})
		wide := slices.ContainsFunc(b.pieces, func(p piece) bool { return p.width > 1 })
		switch ready := s.ready("x") > 0; {
		case least > roomMoves && (ready || got[Displaced] > 0):
			t.Fatalf("there is no room for it, and yet %v", got)
		case ready && (got[Displaced] < least || got[Displaced] > roomMoves || got[Scaled] != 1):
			t.Fatalf("%d moves are enough: %v, %+v", least, got, s.plan())
		case !ready && got[Displaced] > 0:
			t.Fatalf("moves in vain: %v, %+v", got, s.plan())
		case least <= roomMoves && !ready && !wide:
			t.Fatalf("%d moves are enough, and none was made: %+v", least, s.plan())
		case least <= roomMoves && !ready:
			missed++
		case least > 0 && ready:
			found++
		}
		for name := range maps.Keys(moved) {
			if moved[name] {
				kinds[fmt.Sprintf("on demand: %v, devices: %d", drawn[name].demand, drawn[name].width)]++
			}
		}
	})
	t.Logf("room was found %d times and missed %d times; moved were %v", found, missed, kinds)
}

// TestNothingMovesWhileOldBuildsAreAbout: as the next leader they would end one of the two.
func TestNothingMovesWhileOldBuildsAreAbout(t *testing.T) {
	s := newSim()
	s.node("n0", "eu", 16*gib)
	s.node("n1", "eu", 16*gib)
	s.deploy("a", 1, 6*gib)
	s.deploy("b", 1, 6*gib)
	s.run(t, nil)
	s.deploy("x", 1, 12*gib)
	s.w.Still = true
	want(t, "while one does not know of moves", s.moved(t, nil), map[Cause]int{})
	s.w.Still = false
	want(t, "once all do", s.moved(t, nil), map[Cause]int{Displaced: 1, Scaled: 1})
	want(t, "ready", s.ready("x"), 1)
	for _, a := range s.plan() {
		if a.Kind != Unplaced {
			t.Errorf("%+v", a)
		}
	}
}
