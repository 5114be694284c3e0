package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func load(instance string, slots, running uint32) *wire.InstanceLoad {
	return &wire.InstanceLoad{Instance: instance, Deployment: "m", Version: 1, State: ready, Slots: slots, Running: running}
}

func digest(node string, boot, seq uint64, instances ...*wire.InstanceLoad) *wire.LoadDigest {
	return &wire.LoadDigest{Node: node, Boot: boot, Devices: []*wire.DeviceLoad{{Device: "gpu/" + node, Seq: seq, Instances: instances}}}
}

func TestObserve(t *testing.T) {
	now := time.Now()
	table := NewTable(Config{})
	expect := func(what string, all, able int) {
		t.Helper()
		if a, r := table.Candidates("m"); a != all || r != able {
			t.Errorf("%s: %d instances, %d ready; want %d, %d", what, a, r, all, able)
		}
	}
	see := func(d *wire.LoadDigest) { table.Observe(d, now) }
	see(digest("n", 5, 1, load("x", 1, 0)))
	expect("a node that nobody has put", 1, 0)
	table.PutMember(Member{Node: "n", Region: "north"})
	expect("a member", 1, 1)
	see(digest("n", 5, 3, load("x", 1, 0), load("y", 1, 0)))
	expect("a second instance", 2, 2)
	see(digest("n", 5, 2))
	expect("a digest that was overtaken", 2, 2)
	see(digest("n", 4, 9))
	expect("one of an earlier boot", 2, 2)
	gone := load("y", 1, 0)
	gone.State = wire.InstanceState_INSTANCE_STATE_GONE
	see(digest("n", 5, 4, load("x", 1, 0), gone))
	expect("one unloaded, and said so", 1, 1)
	see(digest("n", 6, 1, load("z", 1, 0)))
	expect("a new boot, whose numbers begin anew", 1, 1)
	drains := digest("n", 6, 2, load("z", 1, 0))
	drains.Devices[0].Draining = true
	see(drains)
	expect("a device that drains", 1, 0)
	see(digest("n", 6, 3, load("z", 1, 0)))
	expect("and no longer does", 1, 1)
	table.NodeGone("n")
	expect("a dead node", 1, 0)
	see(digest("n", 6, 4, load("z", 1, 0)))
	expect("a digest does not bring it back", 1, 0)
	table.PutMember(Member{Node: "n", Region: "north", Draining: true})
	expect("a member that drains", 1, 0)
	see(digest("n", 6, 5))
	expect("everything unloaded", 0, 0)
	if n := table.Size(); n != 0 || len(table.mu.pools) != 0 {
		t.Errorf("%d instances, %d pools are left", n, len(table.mu.pools))
	}
}

// TestOtherDevicesStay: a digest of one device says nothing of another.
func TestOtherDevicesStay(t *testing.T) {
	table := NewTable(Config{})
	two := &wire.LoadDigest{Node: "n", Boot: 1, Devices: []*wire.DeviceLoad{
		{Device: "gpu/0", Seq: 1, Instances: []*wire.InstanceLoad{load("x", 1, 0)}},
		{Device: "gpu/1", Seq: 1, Instances: []*wire.InstanceLoad{load("y", 1, 0)}}}}
	table.Observe(two, time.Now())
	two.Devices = two.Devices[:1]
	two.Devices[0].Seq, two.Devices[0].Instances = 2, nil
	table.Observe(two, time.Now())
	if all, _ := table.Candidates("m"); all != 1 {
		t.Errorf("%d instances", all)
	}
}

// TestGrantOutlivesItsInstance: what was dropped meanwhile must not be harmed by
// a place given back, nor harm what came under another id.
func TestGrantOutlivesItsInstance(t *testing.T) {
	f := newField(Config{})
	f.tell("a", "north", 1, 0)
	g := f.must(t, ask())
	f.Observe(digest("a", 2, 1, load("fresh", 1, 0)), time.Now())
	h := f.must(t, ask())
	g.Rejected(&spec.Rejection{Reason: spec.RejectBusy})
	g.Release()
	h.Learn(spec.Load{Slots: 1, Running: 1, Seq: 5})
	h.Release()
	if h.Target.Instance != "fresh" {
		t.Errorf("at %s", h.Target.Instance)
	}
	f.must(t, ask())
	var none Grant
	none.Learn(spec.Load{})
	none.Release()
	none.Failed()
	none.Rejected(&spec.Rejection{Reason: spec.RejectBusy})
}

// TestShunnedUntilHeardOf: after a connection failed nobody else is sent there,
// and the first digest makes it good.
func TestShunnedUntilHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{ReadyTimeout: 5 * time.Second})
		f.tell("a", "north", 4, 0)
		f.must(t, ask()).Failed()
		if _, err := f.Acquire(t.Context(), ask()); refusal(t, err, spec.CodeNotReady) == nil {
			t.Error("not refused")
		}
		f.tell("a", "north", 4, 0)
		f.must(t, ask())
	})
}

// TestStaleCountsAsFull: three beats without a word, as from a process that stands still.
func TestStaleCountsAsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{DigestInterval: time.Second, QueueTimeout: 10 * time.Second})
		f.tell("a", "north", 4, 0)
		f.tell("b", "south", 4, 0)
		time.Sleep(3 * time.Second)
		f.must(t, ask()).Release()
		f.tell("b", "south", 4, 0)
		time.Sleep(time.Millisecond)
		if g := f.must(t, ask()); g.Node != "b" {
			t.Errorf("at %s, which has been silent", g.Node)
		}
	})
}

// TestLoadsAreLearntInOrder: an answer's load that is older than the last
// digest changes nothing; a newer one does.
func TestLoadsAreLearntInOrder(t *testing.T) {
	f := newField(Config{})
	f.seq = 10
	f.tell("a", "north", 8, 4)
	g := f.must(t, ask())
	in := f.mu.instances["i-a"]
	g.Learn(spec.Load{Slots: 8, Running: 0, Seq: 10})
	if in.Running != 4 {
		t.Errorf("an old load was taken over: %d running", in.Running)
	}
	g.Learn(spec.Load{Slots: 8, Running: 6, PrefillTPS: 100, Seq: 12})
	g.Learn(spec.Load{Slots: 8, Running: 6, Seq: 13})
	if in.Running != 6 || in.PrefillTPS != 100 || in.load() != 6 {
		t.Errorf("%d running, %v tokens/s, load %d", in.Running, in.PrefillTPS, in.load())
	}
	g.Release()
	if in.load() != 5 {
		t.Errorf("load %d after the request that was told of has ended", in.load())
	}
}

// TestTableInvariants does anything in any order, and looks after each step.
func TestTableInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := epoch
		table := NewTable(Config{Now: func() time.Time { return now }})
		var grants []*Grant
		seq := uint64(0)
		node := func(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node") }
		take := func(t *rapid.T) *Grant {
			if len(grants) == 0 {
				t.Skip("nothing is held")
			}
			i := rapid.IntRange(0, len(grants)-1).Draw(t, "grant")
			g := grants[i]
			grants = append(grants[:i], grants[i+1:]...)
			return g
		}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				table.mu.Lock()
				var g Grant
				s := table.tryLocked(table.poolLocked("m"), &Query{Deployment: "m", Version: 1, PromptTokens: 5}, table.cfg.Now(), &g)
				table.mu.Unlock()
				if s == Picked {
					grants = append(grants, &g)
				}
			},
			"release": func(t *rapid.T) { take(t).Release() },
			"fail":    func(t *rapid.T) { take(t).Failed() },
			"reject": func(t *rapid.T) {
				r := &spec.Rejection{Reason: rapid.SampledFrom([]string{spec.RejectBusy, spec.RejectDraining}).Draw(t, "reason")}
				if rapid.Bool().Draw(t, "told") {
					r.Load = &spec.Load{Slots: 2, Running: rapid.IntRange(0, 2).Draw(t, "running"), Seq: seq}
				}
				take(t).Rejected(r)
			},
			"digest": func(t *rapid.T) {
				seq++
				n := node(t)
				table.Observe(digest(n, 1, seq, load("i-"+n, 2, rapid.Uint32Range(0, 2).Draw(t, "running"))), now)
			},
			"unload": func(t *rapid.T) { seq++; table.Observe(digest(node(t), 1, seq), now) },
			"come":   func(t *rapid.T) { table.PutMember(Member{Node: spec.NodeID(node(t))}) },
			"go":     func(t *rapid.T) { table.NodeGone(spec.NodeID(node(t))) },
			"wait":   func(*rapid.T) { now = now.Add(time.Second) },
			"": func(t *rapid.T) {
				held := map[*Instance]int{}
				for _, g := range grants {
					held[g.in]++
				}
				for id, in := range table.mu.instances {
					if in.own != held[in] || in.load() < in.own {
						t.Fatalf("%s: %d own of %d held, load %d", id, in.own, held[in], in.load())
					}
					if in.own > 2 {
						t.Fatalf("%s has two slots, and this gateway sent it %d requests", id, in.own)
					}
				}
			},
		})
		for _, g := range grants {
			g.Release()
		}
		for id, in := range table.mu.instances {
			if in.own != 0 {
				t.Fatalf("%s: %d places were not given back", id, in.own)
			}
		}
	})
}
