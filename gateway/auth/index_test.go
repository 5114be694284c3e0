package auth

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

type numbered struct {
	name string
	n    int
}

func newNumbered() *index[numbered] {
	return &index[numbered]{idOf: func(e *numbered) string { return e.name }}
}

// holds compares an index with a map of what it must hold.
func holds(t *rapid.T, x *index[numbered], want map[string]int) {
	t.Helper()
	if x.n != len(want) {
		t.Fatalf("%d entries, want %d", x.n, len(want))
	}
	for i := range 120 {
		name := fmt.Sprint("e", i)
		got := x.get(name)
		if n, ok := want[name]; ok != (got != nil) || ok && got.n != n {
			t.Fatalf("%s is %v, want %d, %v", name, got, n, ok)
		}
	}
}

// TestIndexIsAMap holds an index against a map, and each former index against what
// the map was then.
func TestIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			x    *index[numbered]
			want map[string]int
		}
		now := version{newNumbered(), map[string]int{}}
		for i := range rapid.IntRange(0, 60).Draw(t, "loaded") {
			e := numbered{fmt.Sprint("e", rapid.IntRange(0, 119).Draw(t, "name")), i}
			now.x.put(e)
			now.want[e.name] = i
		}
		all := []version{now}
		for i := range rapid.IntRange(0, 60).Draw(t, "changes") {
			name := fmt.Sprint("e", rapid.IntRange(0, 119).Draw(t, "name"))
			next := version{now.x, maps.Clone(now.want)}
			if rapid.Bool().Draw(t, "remove") {
				next.x = now.x.without(name)
				delete(next.want, name)
			} else {
				next.x = now.x.with(numbered{name, 1000 + i})
				next.want[name] = 1000 + i
			}
			now = next
			all = append(all, now)
		}
		for _, v := range all {
			holds(t, v.x, v.want)
		}
	})
}

// TestOneLeafFillsAndEmpties has every entry in one leaf, where they push each other on.
func TestOneLeafFillsAndEmpties(t *testing.T) {
	x := newNumbered()
	var names []string
	for i := 0; len(names) < 200; i++ {
		name := fmt.Sprint("n", i)
		if hashOf(name)>>(64-2*fanBits) == 5 {
			names = append(names, name)
		}
	}
	for i, name := range names {
		x = x.with(numbered{name, i})
	}
	for i, name := range names {
		if got := x.get(name); got == nil || got.n != i {
			t.Fatalf("%s is %v", name, got)
		}
	}
	full := x
	for i, name := range names {
		x = x.without(name)
		for j, other := range names {
			if got := x.get(other); (got != nil) != (j > i) {
				t.Fatalf("%s is %v after %d were removed", other, got, i+1)
			}
		}
	}
	if slots := len(x.leaf(hashOf(names[0])).slots); x.n != 0 || slots > least {
		t.Errorf("%d entries and %d slots are left", x.n, slots)
	}
	if full.n != len(names) || full.get(names[7]) == nil {
		t.Error("a former index has changed")
	}
}
