package balance

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const fr, de = 17, 18 // marks of adapters

func with(marks ...uint32) func(*Instance) { return func(in *Instance) { in.adapters = marks } }

func TestPickForAnAdapter(t *testing.T) {
	q := &Query{Version: 1, Region: "north", PromptTokens: 100, Adapter: fr}
	bringing := func(in *Instance) { in.bring(fr, &spec.Rejection{}, epoch) }
	for _, c := range []struct {
		name string
		list []*Instance
		want string
		s    Standing
	}{
		{"who has it, although busier", []*Instance{inst("a"), inst("b", running(1), with(de, fr))}, "b", Picked},
		{"whoever has room, rather than who has it", []*Instance{inst("a"), inst("b", running(2), with(fr))}, "a", Picked},
		{"nobody has it", []*Instance{inst("a", running(1), with(de)), inst("b")}, "b", Picked},
		{"the own region", []*Instance{inst("a", inRegion("south"), with(fr)), inst("b")}, "b", Picked},
		{"it is being loaded", []*Instance{inst("a", bringing)}, "", Bringing},
		{"it is being loaded on one", []*Instance{inst("a", bringing), inst("b", running(1))}, "b", Picked},
		{"it is being loaded on one, the other is full", []*Instance{inst("a", bringing), inst("b", running(2))}, "", Bringing},
		{"another is being loaded", []*Instance{inst("a", func(in *Instance) { in.bring(de, &spec.Rejection{}, epoch) })}, "a", Picked},
		{"it was, and is", []*Instance{inst("a", bringing, with(fr))}, "a", Picked},
		{"it was long ago", []*Instance{inst("a", func(in *Instance) { in.bring(fr, &spec.Rejection{RetryAfter: time.Hour}, epoch.Add(-mostBring)) })}, "a", Picked},
	} {
		in, s := Pick(c.list, q, epoch, stale, first)
		got := ""
		if in != nil {
			got = string(in.Target.Instance)
		}
		if got != c.want || s != c.s {
			t.Errorf("%s: %q, %d; want %q, %d", c.name, got, s, c.want, c.s)
		}
	}
}

// TestOneLoadOfAnAdapter: requests for an adapter that is not loaded wait for it, and
// hold up nobody who does without.
func TestOneLoadOfAnAdapter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Second, LoadTimeout: time.Hour, DigestInterval: time.Hour})
		f.tell("a", "north", 8, 0)
		var mu sync.Mutex
		loaded, refused, served := false, 0, 0
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				for {
					g := f.must(t, ask(func(q *Query) { q.Adapter = fr }))
					mu.Lock()
					if loaded {
						served++
						mu.Unlock()
						return
					}
					refused++
					mu.Unlock()
					g.Rejected(&spec.Rejection{Reason: spec.RejectLoading, RetryAfter: time.Second})
				}
			})
		}
		synctest.Wait()
		if f.Waiting() != 5 {
			t.Errorf("%d wait for the adapter, %d were refused", f.Waiting(), refused)
		}
		f.must(t, ask()).Release()
		mu.Lock()
		loaded = true
		mu.Unlock()
		f.tell("a", "north", 8, 0, func(d *wire.DeviceLoad) { d.Instances[0].Adapters = []uint32{fr} })
		wg.Wait()
		if served != 5 || refused > 5 {
			t.Errorf("%d were served, %d refused", served, refused)
		}
	})
}

// TestAnAdapterThatIsGone: a refusal that is younger than the digest is believed.
func TestAnAdapterThatIsGone(t *testing.T) {
	f := newField(Config{QueueTimeout: time.Millisecond, LoadTimeout: time.Millisecond})
	f.tell("a", "north", 8, 0, func(d *wire.DeviceLoad) { d.Instances[0].Adapters = []uint32{fr} })
	q := ask(func(q *Query) { q.Adapter = fr })
	f.must(t, q).Rejected(&spec.Rejection{Reason: spec.RejectLoading, Load: &spec.Load{Instance: "i-a", Ready: true, Slots: 8, Seq: f.seq}})
	if _, err := f.Acquire(t.Context(), q); spec.CodeOf(err) != spec.CodeNotReady {
		t.Errorf("asked at once again: %v", err)
	}
	f.tell("a", "north", 8, 0, func(d *wire.DeviceLoad) { d.Instances[0].Adapters = []uint32{fr} })
	f.must(t, q).Rejected(&spec.Rejection{Reason: spec.RejectLoading, Load: &spec.Load{Instance: "i-a", Ready: true, Slots: 8, Seq: f.seq - 1}})
	f.must(t, q).Release()
}
