package pool

import (
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type block [4 << 10]byte

var blocks = New("test-blocks", func() *block { return new(block) })

// TestCounts: each get is counted, those that found nothing are misses, and what the collector has taken is not there
// any more.
func TestCounts(t *testing.T) {
	runtime.GC()
	runtime.GC() // what other tests have given back is not there any more
	before := blocks.stats()
	var lent []*block
	for range 100 {
		lent = append(lent, blocks.Get())
	}
	if s := blocks.stats(); s.Gets-before.Gets != 100 || s.Misses-before.Misses != 100 || s.Items < 100 {
		t.Errorf("after 100 that were lent: %+v", s)
	}
	for _, b := range lent {
		blocks.Put(b)
	}
	clear(lent)
	again := false
	for range 1000 { // under the race detector some that are put are dropped
		misses := blocks.stats().Misses
		blocks.Put(blocks.Get())
		again = again || blocks.stats().Misses == misses
	}
	if !again {
		t.Error("none of 1000 was used again")
	}
	for until := time.Now().Add(30 * time.Second); blocks.stats().Items > before.Items; {
		if runtime.GC(); time.Now().After(until) {
			t.Fatalf("what nobody has is still there: %+v", blocks.stats())
		}
		time.Sleep(time.Millisecond)
	}
}

// TestWithout: a pool that is turned off lends nothing twice and counts nothing.
func TestWithout(t *testing.T) {
	if _, ok := Without("no such pool"); ok {
		t.Error("a pool is known that there is not")
	}
	back, ok := Without("test-blocks")
	if !ok {
		t.Fatal("the pool is not known")
	}
	before := blocks.stats()
	for range 100 {
		one := blocks.Get()
		one[0]++
		if one[0] != 1 {
			t.Fatal("one was lent again")
		}
		blocks.Put(one)
	}
	if now := blocks.stats(); now.Gets != before.Gets || now.Misses != before.Misses {
		t.Errorf("%+v, before %+v", now, before)
	}
	back()
	blocks.Put(blocks.Get())
	if now := blocks.stats(); now.Gets != before.Gets+1 {
		t.Errorf("turned on again it counts %+v", now)
	}
}

// TestShown: pools of all kinds stand in one registry, by the same metrics, each with what it can tell.
func TestShown(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(Collectors()...)
	reg.MustRegister(Collect("test-bounded", Limit|Waits|Refused, func() Stats {
		return Stats{Gets: 7, Misses: 3, Items: 2, Limit: 5, Waits: 4, Waited: 1500 * time.Millisecond, Refused: 1}
	}), Collect("test-connections", Idle|Closed, func() Stats { return Stats{Gets: 9, Idle: 6, Closed: 8} }))
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			got[f.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"gets_total test-bounded": 7, "misses_total test-bounded": 3, "items test-bounded": 2, "limit_items test-bounded": 5, "waits_total test-bounded": 4,
		"wait_seconds_total test-bounded": 1.5, "refused_total test-bounded": 1, "gets_total test-connections": 9, "idle_items test-connections": 6, "closed_total test-connections": 8,
	} {
		if value, ok := got["lotabots_pool_"+name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	for _, name := range []string{"idle_items test-bounded", "limit_items test-connections", "waits_total test-blocks"} {
		if _, ok := got["lotabots_pool_"+name]; ok {
			t.Errorf("%s is told, which the pool does not know", name)
		}
	}
	if _, ok := got["lotabots_pool_gets_total test-blocks"]; !ok {
		t.Error("a pool of the process is not told of")
	}
}

func BenchmarkGet(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			blocks.Put(blocks.Get())
		}
	})
}
