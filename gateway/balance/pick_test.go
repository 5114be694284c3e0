package balance

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

var (
	epoch = time.Unix(1_000_000, 0)
	stale = 3 * time.Second
)

const (
	loading = wire.InstanceState_INSTANCE_STATE_LOADING
	ready   = wire.InstanceState_INSTANCE_STATE_READY
	failed  = wire.InstanceState_INSTANCE_STATE_FAILED
)

// inst is a ready instance of version 1 with two slots, in the region north.
func inst(id string, change ...func(*Instance)) *Instance {
	in := &Instance{Target: spec.Target{Instance: spec.InstanceID(id), Node: "n-" + spec.NodeID(id)}, Version: 1, State: ready, Slots: 2, heard: epoch,
		node: &member{Member: Member{Node: "n-" + spec.NodeID(id), Region: "north"}, alive: true}}
	for _, c := range change {
		c(in)
	}
	return in
}

func inRegion(r string) func(*Instance) { return func(in *Instance) { in.node.Region = r } }
func running(n int) func(*Instance)     { return func(in *Instance) { in.Running = n } }
func version(v uint64) func(*Instance)  { return func(in *Instance) { in.Version = v } }
func heardAgo(d time.Duration) func(*Instance) {
	return func(in *Instance) { in.heard = epoch.Add(-d) }
}

func random() uint64 { return rand.Uint64() }

func first() uint64 { return 1 } // of equals, the first stays: 1%n is 0 for n = 1 alone

func TestPick(t *testing.T) {
	q := func(change ...func(*Query)) *Query {
		q := &Query{Version: 1, Region: "north", PromptTokens: 100}
		for _, c := range change {
			c(q)
		}
		return q
	}
	exclude := func(ids ...spec.InstanceID) func(*Query) { return func(q *Query) { q.Exclude = ids } }
	for _, c := range []struct {
		name string
		list []*Instance
		q    *Query
		want string // instance; empty: none
		s    Standing
	}{
		{"nobody", nil, q(), "", Absent},
		{"one", []*Instance{inst("a")}, q(), "a", Picked},
		{"least load", []*Instance{inst("a", running(1)), inst("b")}, q(), "b", Picked},
		{"own region although busier", []*Instance{inst("a", inRegion("south")), inst("b", running(1))}, q(), "b", Picked},
		{"another region when home is full", []*Instance{inst("a", inRegion("south")), inst("b", running(2))}, q(), "a", Picked},
		{"allowed regions alone", []*Instance{inst("a"), inst("b", inRegion("south"), running(1))}, q(func(q *Query) { q.Regions = []string{"south"} }), "b", Picked},
		{"a failed node last", []*Instance{inst("a"), inst("b", inRegion("south"), running(1))}, q(func(q *Query) { q.Avoid = []spec.NodeID{"n-a"} }), "b", Picked},
		{"a failed node rather than none", []*Instance{inst("a"), inst("b", running(2))}, q(func(q *Query) { q.Avoid = []spec.NodeID{"n-a"} }), "a", Picked},
		{"no allowed region", []*Instance{inst("a")}, q(func(q *Query) { q.Regions = []string{"east"} }), "", Absent},
		{"full", []*Instance{inst("a", running(2)), inst("b", func(in *Instance) { in.Queued = 3 })}, q(), "", Full},
		{"not heard of", []*Instance{inst("a", heardAgo(stale+1))}, q(), "", Full},
		{"heard of just in time", []*Instance{inst("a", heardAgo(stale))}, q(), "a", Picked},
		{"loading", []*Instance{inst("a", func(in *Instance) { in.State = loading })}, q(), "", Warming},
		{"failed", []*Instance{inst("a", func(in *Instance) { in.State = failed })}, q(), "", Absent},
		{"device drains", []*Instance{inst("a", func(in *Instance) { in.draining = true })}, q(), "", NotReady},
		{"node drains", []*Instance{inst("a", func(in *Instance) { in.node.Draining = true })}, q(), "", NotReady},
		{"node dead", []*Instance{inst("a", func(in *Instance) { in.node.alive = false }), inst("b", running(1))}, q(), "b", Picked},
		{"shunned", []*Instance{inst("a", func(in *Instance) { in.shunned = true })}, q(), "", NotReady},
		{"tried one", []*Instance{inst("a"), inst("b", running(1))}, q(exclude("a")), "b", Picked},
		{"tried all", []*Instance{inst("a")}, q(exclude("a")), "", Exhausted},
		{"tried one that starts again", []*Instance{inst("a", func(in *Instance) { in.State = wire.InstanceState_INSTANCE_STATE_RESTARTING })}, q(exclude("a")), "", Exhausted},
		{"tried one whose node is dead", []*Instance{inst("a", func(in *Instance) { in.node.alive = false })}, q(exclude("a")), "", Absent},
		{"tried one, another loads", []*Instance{inst("a"), inst("b", func(in *Instance) { in.State = loading })}, q(exclude("a")), "", Exhausted},
		{"tells no slots", []*Instance{inst("a", func(in *Instance) { in.Slots = 0 })}, q(), "a", Picked},
		{"the state's version", []*Instance{inst("a", version(2)), inst("b", running(1))}, q(), "b", Picked},
		{"the state's version, full", []*Instance{inst("a", version(2)), inst("b", running(2))}, q(), "", Full},
		{"newest version until the state's is ready", []*Instance{inst("a"), inst("b", version(2), running(1)), inst("c", version(3), func(in *Instance) { in.State = loading })},
			q(func(q *Query) { q.Version = 3 }), "b", Picked},
		{"newer than this node's state", []*Instance{inst("a", version(2))}, q(), "a", Picked},
		{"less backlog", []*Instance{inst("a", func(in *Instance) { in.read = epoch.Add(2 * time.Second) }), inst("b")}, q(), "b", Picked},
		{"faster prefill", []*Instance{inst("a", func(in *Instance) { in.PrefillTPS = 10 }), inst("b", func(in *Instance) { in.PrefillTPS = 10_000 })}, q(), "b", Picked},
		{"less cache in use", []*Instance{inst("a", func(in *Instance) { in.KVUse = .9 }), inst("b")}, q(), "b", Picked},
		{"cache over full", []*Instance{inst("a", func(in *Instance) { in.KVUse = 1.5 })}, q(), "a", Picked},
	} {
		in, s := Pick(c.list, c.q, epoch, stale, first)
		got := ""
		if in != nil {
			got = string(in.Target.Instance)
		}
		if got != c.want || s != c.s {
			t.Errorf("%s: %q, standing %d; want %q, %d", c.name, got, s, c.want, c.s)
		}
	}
}

// TestPickSpreadsTies draws among equals, each as often as the others.
func TestPickSpreadsTies(t *testing.T) {
	list := []*Instance{inst("a"), inst("b"), inst("busy", running(1)), inst("c")}
	count := map[spec.InstanceID]int{}
	for range 3000 {
		in, _ := Pick(list, &Query{Version: 1, Region: "north"}, epoch, stale, random)
		count[in.Target.Instance]++
	}
	for _, id := range []spec.InstanceID{"a", "b", "c"} {
		if n := count[id]; n < 800 || n > 1200 {
			t.Errorf("%s was picked %d times of 3000", id, n)
		}
	}
}

func anyInstance(t *rapid.T, id string) *Instance {
	in := inst(id)
	in.Version = rapid.Uint64Range(1, 3).Draw(t, "version")
	in.State = rapid.SampledFrom([]wire.InstanceState{ready, ready, ready, loading, failed}).Draw(t, "state")
	in.Slots = rapid.IntRange(0, 3).Draw(t, "slots")
	in.Running = rapid.IntRange(0, 3).Draw(t, "running")
	in.own = rapid.IntRange(0, 2).Draw(t, "own")
	in.since = rapid.IntRange(-1, 2).Draw(t, "since")
	in.node.Region = rapid.SampledFrom([]string{"north", "south", "east"}).Draw(t, "region")
	in.node.alive = rapid.IntRange(0, 4).Draw(t, "alive") > 0
	in.draining = rapid.IntRange(0, 4).Draw(t, "draining") == 0
	in.shunned = rapid.IntRange(0, 4).Draw(t, "shunned") == 0
	in.heard = epoch.Add(-time.Duration(rapid.IntRange(0, 4).Draw(t, "heard")) * time.Second)
	return in
}

// TestPickProperties holds Pick to what it promises, whatever the table holds.
func TestPickProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &Query{Version: rapid.Uint64Range(1, 3).Draw(t, "wanted"), Region: "north"}
		if rapid.Bool().Draw(t, "restricted") {
			q.Regions = []string{"north", "south"}
		}
		var list []*Instance
		for i := range rapid.IntRange(0, 6).Draw(t, "instances") {
			id := string(rune('a' + i))
			list = append(list, anyInstance(t, id))
			if rapid.IntRange(0, 4).Draw(t, "tried") == 0 {
				q.Exclude = append(q.Exclude, spec.InstanceID(id))
			}
			if rapid.IntRange(0, 4).Draw(t, "failed") == 0 {
				q.Avoid = append(q.Avoid, spec.NodeID("n-"+id))
			}
		}
		may := func(in *Instance) bool { return in.ready(q, epoch) && !excluded(in, q) }
		can := func(in *Instance) bool { return may(in) && in.room(q, epoch, stale) }
		serving := uint64(0) // the version that has to be served
		for _, in := range list {
			if may(in) && serving != q.Version && (in.Version == q.Version || in.Version > serving) {
				serving = in.Version
			}
		}
		got, s := Pick(list, q, epoch, stale, first)
		if (got != nil) != (s == Picked) {
			t.Fatalf("%v with standing %d", got, s)
		}
		for _, in := range list {
			if got == nil && may(in) && s != Full {
				t.Fatalf("%s is ready, and the standing is %d", in.Target.Instance, s)
			}
			if !can(in) || in.Version != serving {
				continue
			}
			switch {
			case got == nil:
				t.Fatalf("%s had room, and nobody was picked: %d", in.Target.Instance, s)
			case slices.Contains(q.Avoid, got.Node) && !slices.Contains(q.Avoid, in.Node):
				t.Fatalf("%s on a node that failed, and %s had room", got.Target.Instance, in.Target.Instance)
			case slices.Contains(q.Avoid, got.Node) != slices.Contains(q.Avoid, in.Node):
			case in.node.Region == "north" && got.node.Region != "north":
				t.Fatalf("%s in another region, and %s at home had room", got.Target.Instance, in.Target.Instance)
			case in.node.Region == got.node.Region && in.score(q, epoch) < got.score(q, epoch)-step:
				t.Fatalf("%s at %v, and %s at %v", got.Target.Instance, got.score(q, epoch), in.Target.Instance, in.score(q, epoch))
			}
		}
		if got != nil && (!can(got) || got.Version != serving) {
			t.Fatalf("picked %s, which cannot serve version %d", got.Target.Instance, serving)
		}
	})
}

// TestPickOfVeryMany finds the one that has room, and the one at home, wherever they are.
func TestPickOfVeryMany(t *testing.T) {
	for _, n := range []int{65, 101, 202, 257} {
		for at := range n {
			var list []*Instance
			for i := range n {
				list = append(list, inst(strconv.Itoa(i), running(2)))
			}
			list[at].Running = 0
			if in, s := Pick(list, &Query{Version: 1, Region: "north"}, epoch, stale, random); in != list[at] {
				t.Fatalf("of %d, %d has room: standing %d", n, at, s)
			}
			for i := range n {
				list[i].Running = 0
				list[i].node.Region = "south"
			}
			list[at].node.Region = "north"
			if in, _ := Pick(list, &Query{Version: 1, Region: "north"}, epoch, stale, random); in != list[at] {
				t.Fatalf("of %d, %d is at home, and another was picked", n, at)
			}
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	list := []*Instance{inst("a"), inst("b"), inst("c", inRegion("south")), inst("d", running(2))}
	q := &Query{Version: 1, Region: "north", Exclude: []spec.InstanceID{"b"}}
	if n := testing.AllocsPerRun(100, func() { Pick(list, q, epoch, stale, random) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPick(b *testing.B) {
	var list []*Instance
	for i := range 100 {
		list = append(list, inst(string(rune('A'+i)), running(i%3)))
	}
	q := &Query{Version: 1, Region: "north"}
	b.ReportAllocs()
	for b.Loop() {
		Pick(list, q, epoch, stale, random)
	}
}
