package balance

import (
	"fmt"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func inSession(text string) func(*Query) {
	return func(q *Query) { q.Session = Session("t", text) }
}

// TestSessionsStick: to one instance, whatever else is sooner; to another where that has gone, is full or has refused; and
// only they move.
func TestSessionsStick(t *testing.T) {
	f := newField(Config{Random: steady})
	for _, node := range []string{"a", "b", "c"} {
		f.tell(node, "north", 4, 0)
	}
	f.tell("far", "south", 4, 0)
	const sessions = 300
	home, count := map[int]spec.NodeID{}, map[spec.NodeID]int{}
	place := func(i int) spec.NodeID {
		g := f.must(t, ask(inSession(fmt.Sprint(i))))
		defer g.Release()
		return g.Node
	}
	for i := range sessions {
		home[i] = place(i)
		count[home[i]]++
	}
	if len(count) != 3 || count["a"] < sessions/5 || count["b"] < sessions/5 || count["c"] < sessions/5 {
		t.Fatalf("sessions are at %v", count)
	}
	f.tell("a", "north", 4, 2, func(d *wire.DeviceLoad) { d.Instances[0].BacklogSeconds = 3 }) // others are sooner
	for i := range sessions {
		if at := place(i); at != home[i] {
			t.Fatalf("session %d went from %s to %s", i, home[i], at)
		}
	}
	for name, gone := range map[string]func(){
		"full": func() { f.tell("a", "north", 4, 4) },
		"dead": func() { f.NodeGone("a") },
	} {
		gone()
		for i := range sessions {
			if at := place(i); home[i] == "a" && at == "a" || home[i] != "a" && at != home[i] {
				t.Fatalf("%s: session %d went from %s to %s", name, i, home[i], at)
			}
		}
	}
	if Session("t", "x") == Session("u", "x") || Session("", "") == 0 {
		t.Error("tenants share sessions")
	}
	g := f.must(t, ask(inSession("5"), func(q *Query) { q.Exclude = []spec.InstanceID{spec.InstanceID("i-" + string(home[5]))} }))
	if g.Node == home[5] {
		t.Error("it is tried again where it was refused")
	}
}
