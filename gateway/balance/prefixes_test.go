package balance

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// told is the digest in which the node's instance i-node announces names, each of 100 tokens more.
func (f *field) holds(node string, epoch uint64, names ...uint64) {
	n := &wire.PrefixNews{Instance: "i-" + node, Epoch: epoch, Added: names}
	for i := range names {
		n.Tokens = append(n.Tokens, uint32(100*(i+1)))
	}
	f.Observe(&wire.LoadDigest{Node: node, Boot: 1, Prefixes: []*wire.PrefixNews{n}}, f.cfg.Now())
}

// steady explores nothing.
func steady() uint64 { return 1 }

func begins(names ...uint64) func(*Query) {
	p := new(prefix.Prompt)
	for i, n := range names {
		p.Add(n, 1000*(i+1))
		if i == 0 {
			p.Opened()
		} else {
			p.Answered()
		}
	}
	return func(q *Query) { q.Prompt, q.PromptTokens = p, 1000*len(names)+200 }
}

func TestRequestsGoToTheirPrefix(t *testing.T) {
	f := newField(Config{Random: steady})
	for _, node := range []string{"a", "b", "c"} {
		f.tell(node, "north", 8, 0)
	}
	f.holds("b", 1, 11, 12)
	f.holds("a", 1, 11)
	f.holds("c", 1)
	f.holds("unknown", 1, 11)
	f.Observe(&wire.LoadDigest{Node: "a", Boot: 1, Prefixes: []*wire.PrefixNews{{Instance: "i-c", Epoch: 1, Added: []uint64{11, 12, 13}, Tokens: []uint32{1, 2, 3}}}}, time.Now()) // not a's to tell
	g := f.must(t, ask(begins(11, 12, 13)))
	if g.Node != "b" || g.Cached != 2000 || g.Held != 200 {
		t.Fatalf("at %s, cached %d, held %d", g.Node, g.Cached, g.Held)
	}
	if second := f.must(t, ask(begins(11, 12, 13))); second.Node != "a" || second.Cached != 1000 { // b has 1.2 s to read, a saves 1 s less
		t.Errorf("at %s, cached %d: affinity is seconds, no verdict", second.Node, second.Cached)
	}
	for _, name := range []string{"another tenant's", "nobody's"} {
		if g := f.must(t, ask(begins(21, 22, 23))); g.Cached != 0 || g.Held != 0 {
			t.Errorf("%s prompt is expected at %s", name, g.Node)
		}
	}
}

// What was told of an engine goes with it.
func TestPrefixesGoWithTheEngine(t *testing.T) {
	for name, end := range map[string]func(f *field){
		"the engine starts anew": func(f *field) {
			f.tell("a", "north", 8, 0, func(d *wire.DeviceLoad) { d.Instances[0].State = wire.InstanceState_INSTANCE_STATE_RESTARTING })
			f.tell("a", "north", 8, 0)
		},
		"the node's process does": func(f *field) {
			f.Observe(&wire.LoadDigest{Node: "a", Boot: 2}, time.Now())
			f.seq++
			f.Observe(&wire.LoadDigest{Node: "a", Boot: 2, Devices: []*wire.DeviceLoad{{Device: "cpu/a", Seq: f.seq, Instances: []*wire.InstanceLoad{{
				Instance: "i-a", Deployment: "m", Version: 1, State: ready, Slots: 8}}}}}, time.Now())
		},
		"another epoch": func(f *field) { f.holds("a", 2) },
		"removed": func(f *field) {
			f.Observe(&wire.LoadDigest{Node: "a", Boot: 1, Prefixes: []*wire.PrefixNews{{Instance: "i-a", Epoch: 1, Removed: []uint64{11, 12}}}}, time.Now())
		},
	} {
		f := newField(Config{Random: steady})
		f.tell("a", "north", 8, 0)
		f.holds("a", 1, 11, 12)
		if g := f.must(t, ask(begins(11, 12))); g.Held != 200 {
			t.Fatalf("held %d", g.Held)
		}
		end(f)
		if g := f.must(t, ask(begins(11, 12))); g.Held != 0 && !g.guessed {
			t.Errorf("%s: held %d", name, g.Held)
		}
		if f.mu.prefixes.Len() != 0 {
			t.Errorf("%s: %d names are left", name, f.mu.prefixes.Len())
		}
	}
}

// Where engines cannot tell, a conversation stays where its hash has it, and what turns out untrue is
// believed less.
func TestGuessesAreBelievedAsFarAsTheyHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{DigestInterval: time.Hour, Random: steady})
		for _, node := range []string{"a", "b", "c"} {
			f.tell(node, "north", 8, 0)
		}
		places := map[spec.NodeID]int{}
		first := f.must(t, ask(begins(7, 8, 9)))
		first.Release()
		if first.Cached != 2700 || first.Held != 2700 {
			t.Errorf("cached %d, held %d", first.Cached, first.Held)
		}
		for name := range uint64(200) {
			g := f.must(t, ask(begins(1000+name)))
			places[g.Node]++
			g.Release()
			again := f.must(t, ask(begins(1000+name, 2000+name)))
			if again.Node != g.Node {
				t.Errorf("turn 2 of %d is at %s, turn 1 was at %s", name, again.Node, g.Node)
			}
			again.Release()
		}
		if len(places) != 3 {
			t.Errorf("conversations are at %v", places)
		}
		for range 200 {
			g := f.must(t, ask(begins(7, 8, 9)))
			g.Release()
			g.Found(0)
		}
		g := f.must(t, ask(begins(7, 8, 9)))
		if g.Cached > 200 || g.Held == 0 {
			t.Errorf("cached %d, held %d, though it never was", g.Cached, g.Held)
		}
		g.Release()
		for range 200 {
			g := f.must(t, ask(begins(7, 8, 9)))
			g.Release()
			g.Found(3000)
		}
		if g := f.must(t, ask(begins(7, 8, 9))); g.Cached < 2600 {
			t.Errorf("cached %d, though it always is", g.Cached)
		}
	})
}

// TestPickByPrefixAllocatesNothing at 256 instances.
func TestPickByPrefixAllocatesNothing(t *testing.T) {
	f, q := fullField(256)
	there := 0
	for range 50 { // now and then one explores
		g := f.must(t, q)
		if g.Node == "n03" {
			there++
		}
		g.Release()
	}
	if there < 40 {
		t.Errorf("%d of 50 found the one that has the prompt, which a sample of all may miss", there)
	}
	if n := testing.AllocsPerRun(100, func() {
		f.mu.Lock()
		var g Grant
		f.tryLocked(f.poolLocked("m"), q, f.cfg.Now(), &g)
		f.mu.Unlock()
		g.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func fullField(instances int) (*field, *Query) {
	f := newField(Config{DigestInterval: time.Hour, Random: steady})
	for i := range instances {
		node := "n" + string(rune('0'+i/64)) + string(rune('0'+i%64))
		f.tell(node, "north", 8, 0)
		names := []uint64{1}
		for j := range 500 {
			names = append(names, uint64(1e6+1000*i+j))
		}
		f.holds(node, 1, names...)
	}
	names := []uint64{1}
	for i := range 18 {
		names = append(names, uint64(1e6+3000+i))
	}
	return f, ask(begins(names...))
}

func BenchmarkPickByPrefix(b *testing.B) {
	f, q := fullField(256)
	plain := *q
	plain.Prompt = nil
	for name, q := range map[string]*Query{"named": q, "plain": &plain} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				g, err := f.Acquire(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				g.Release()
			}
		})
	}
}
