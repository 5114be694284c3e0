package balance

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestAnother(t *testing.T) {
	q := &Query{Version: 1, Region: "north"}
	full := func(in *Instance) { in.State, in.Slots, in.Running, in.reserved = ready, 1, 1, 4 }
	sleeping := func(spare uint64) func(*Instance) {
		return func(in *Instance) { in.State, in.spare = cold, spare }
	}
	for _, c := range []struct {
		name string
		list []*Instance
		want string
	}{
		{"nobody serves", []*Instance{inst("a", sleeping(9))}, ""},
		{"one sleeps", []*Instance{inst("a", full), inst("b", sleeping(4))}, "b"},
		{"without room", []*Instance{inst("a", full), inst("b", sleeping(3))}, ""},
		{"one loads already", []*Instance{inst("a", full), inst("b", sleeping(4)), inst("c", inState(loading))}, ""},
		{"one was asked just now", []*Instance{inst("a", full), inst("b", sleeping(4)), inst("c", sleeping(4), func(in *Instance) { in.waking = epoch })}, ""},
		{"another version", []*Instance{inst("a", full), inst("b", sleeping(4), version(2))}, ""},
		{"not known what it takes", []*Instance{inst("a", full, func(in *Instance) { in.reserved = 0 }), inst("b", sleeping(4))}, ""},
		{"where nobody can be reached", []*Instance{inst("a", full), inst("b", sleeping(4), func(in *Instance) { in.node.alive = false })}, ""},
		{"shunned", []*Instance{inst("a", full), inst("b", sleeping(4), func(in *Instance) { in.shunned = true })}, ""},
		{"the soonest loaded", []*Instance{inst("a", full), inst("b", sleeping(4), loadsIn(9)), inst("c", sleeping(4), loadsIn(2))}, "c"},
	} {
		got := ""
		if in := another(c.list, q, epoch); in != nil {
			got = string(in.Target.Instance)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSpareMemory(t *testing.T) {
	d := &wire.DeviceLoad{MemoryFree: 5, Instances: []*wire.InstanceLoad{
		{MemoryReserved: 10, ServedSeconds: 60, IdleSeconds: 60},
		{MemoryReserved: 100, ServedSeconds: 60, IdleSeconds: 60, Running: 1},
		{MemoryReserved: 1000, ServedSeconds: 60, IdleSeconds: 3},
		{MemoryReserved: 10000}, // always loaded
	}}
	if got := spareOf(d); got != 15 {
		t.Errorf("%d", got)
	}
}

// TestAQueueWakesAnother: those who wait for a full instance have a second one loaded
// once the first of them has waited for a while, and are served by both.
func TestAQueueWakesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{QueueTimeout: time.Minute, LoadTimeout: time.Minute, DigestInterval: time.Hour})
		f.tell("a", "north", 1, 0, func(d *wire.DeviceLoad) { d.Instances[0].MemoryReserved = 4 })
		f.tell("b", "north", 1, 0, func(d *wire.DeviceLoad) { d.Instances[0].State, d.MemoryFree = cold, 8 })
		busy := f.must(t, ask())
		var mu sync.Mutex
		var woken []time.Duration
		served, began := map[spec.InstanceID]int{}, time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					g := f.must(t, ask())
					mu.Lock()
					if f.mu.instances[g.Instance].State == ready {
						served[g.Instance]++
						mu.Unlock()
						time.Sleep(time.Second)
						g.Release()
						return
					}
					woken = append(woken, time.Since(began))
					mu.Unlock()
					g.Rejected(&spec.Rejection{Reason: spec.RejectLoading, RetryAfter: time.Second})
				}
			})
		}
		for range 5 {
			time.Sleep(time.Second)
			f.tell("a", "north", 1, 1, func(d *wire.DeviceLoad) { d.Instances[0].MemoryReserved = 4 })
		}
		mu.Lock()
		if len(woken) == 0 || woken[0] != crowded || len(woken) > 2 {
			t.Errorf("woken after %v", woken)
		}
		mu.Unlock()
		f.tell("b", "north", 1, 0)
		time.Sleep(10 * time.Second)
		busy.Release()
		wg.Wait()
		if served["i-b"] != 3 {
			t.Errorf("served are %v", served)
		}
	})
}

// TestAFailedLoadIsToldSoon: who waits for a load that has been given up is told a
// moment later, in which the instance might have been placed elsewhere.
func TestAFailedLoadIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(Config{LoadTimeout: time.Hour, DigestInterval: time.Hour})
		f.tell("a", "north", 1, 0, func(d *wire.DeviceLoad) { d.Instances[0].State = loading })
		done := make(chan time.Time, 1)
		var err error
		go func() {
			_, err = f.Acquire(context.Background(), ask(func(q *Query) { q.Expected = true }))
			done <- time.Now()
		}()
		time.Sleep(7*time.Second + 300*time.Millisecond)
		gaveUp := time.Now()
		f.tell("a", "north", 1, 0, func(d *wire.DeviceLoad) {
			d.Instances[0].State, d.Instances[0].Reason = failed, "no such file"
		})
		took := (<-done).Sub(gaveUp)
		if r := refusal(t, err, spec.CodeNotReady); r.Why != "no such file" || took < failedWait || took > failedWait+time.Millisecond {
			t.Errorf("told after %s: %+v", took, r)
		}
		// One that comes then is told as soon.
		began := time.Now()
		if _, err := f.Acquire(context.Background(), ask(func(q *Query) { q.Expected = true })); err == nil || time.Since(began) > failedWait+time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
