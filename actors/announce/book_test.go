package announce

import (
	"maps"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A listener believes what it is told.
type listener struct {
	epoch uint64
	known map[uint64]uint32
}

func (l *listener) hear(n *wire.PrefixNews) {
	if l.known == nil || l.epoch != n.GetEpoch() {
		l.epoch, l.known = n.GetEpoch(), map[uint64]uint32{}
	}
	for _, name := range n.GetRemoved() {
		delete(l.known, name)
	}
	for i, name := range n.GetAdded() {
		l.known[name] = n.GetTokens()[i]
	}
}

// TestListenersLearn: whoever hears one of two tellings of each change knows what is held; and everything
// fits into its room.
func TestListenersLearn(t *testing.T) {
	const room = 300
	instance := strings.Repeat("i", 60)
	rapid.Check(t, func(t *rapid.T) {
		var b Book
		var l listener
		want := map[uint64]uint32{}
		epoch := uint64(1)
		tell := func(n *wire.PrefixNews) {
			if size := proto.Size(&wire.LoadDigest{Prefixes: []*wire.PrefixNews{n}}); size > room {
				t.Fatalf("%d bytes in a room of %d", size, room)
			}
			l.hear(n)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			reset := rapid.IntRange(0, 9).Draw(t, "reset") == 0
			if rapid.IntRange(0, 9).Draw(t, "new") == 0 {
				epoch++
				reset = true
			}
			if reset {
				clear(want)
			}
			var added []Mark
			var removed []uint64
			for range rapid.IntRange(0, 30).Draw(t, "removed") {
				removed = append(removed, rapid.Uint64Range(1, 99).Draw(t, "r"))
				delete(want, removed[len(removed)-1])
			}
			for range rapid.IntRange(0, 30).Draw(t, "added") {
				m := Mark{rapid.Uint64Range(1, 99).Draw(t, "a"), rapid.Uint32().Draw(t, "tokens")}
				added, want[m.Name] = append(added, m), m.Tokens
			}
			b.Update(epoch, reset, added, removed)
			for range rapid.IntRange(0, 3).Draw(t, "told") {
				if n := b.Next(instance, room); n != nil {
					tell(n)
				}
			}
		}
		for b.Pending() {
			tell(b.Next(instance, room))
		}
		if b.Len() != len(want) || !maps.Equal(l.known, want) {
			t.Fatalf("known %v, held %v", l.known, want)
		}
		fresh := listener{} // has just joined
		for range len(want)/(room/pair/2) + 2 {
			if n := b.Again(instance, room); n != nil {
				tell(n)
				fresh.hear(n)
			}
		}
		if len(want) > 0 && !maps.Equal(fresh.known, want) {
			t.Fatalf("who has joined knows %v of %v", fresh.known, want)
		}
	})
}

func TestBookIsBounded(t *testing.T) {
	var b Book
	for i := range uint64(10 * MaxNames) {
		b.Update(1, false, []Mark{{i, 1}}, nil)
		if i%2 == 0 {
			b.Update(1, false, nil, []uint64{i})
		}
	}
	if b.Len() > MaxNames || len(b.order) > 2*MaxNames {
		t.Errorf("%d names, %d in order", b.Len(), len(b.order))
	}
	if _, ok := b.held[10*MaxNames-1]; !ok {
		t.Error("the newest name is not among them")
	}
}

// Each change is told twice, and no more.
func TestChangesAreToldTwice(t *testing.T) {
	var b Book
	b.Update(1, true, []Mark{{7, 3}}, nil)
	told := 0
	for b.Pending() {
		if n := b.Next("i", 200); len(n.GetAdded()) == 1 {
			told++
		}
	}
	if told != times || b.Next("i", 200) != nil {
		t.Errorf("told %d times", told)
	}
}

// A name that went and came again, however often, is told once in a round.
func TestNamesThatComeAgainAreToldOnce(t *testing.T) {
	var b Book
	for round := range 20 {
		for i := range uint64(30) {
			if round == 0 || i < 10 {
				b.Update(1, false, []Mark{{i, 1}}, []uint64{i})
			}
		}
	}
	told := map[uint64]int{}
	for range 4 {
		for _, name := range b.Again("i", 40+1+15*pair).GetAdded() {
			told[name]++
		}
	}
	for i := range uint64(30) {
		if told[i] != 2 {
			t.Fatalf("four parts of half a round tell %v", told)
		}
	}
}
