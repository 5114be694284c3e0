package gpu

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// adaptedInstance is ready, has eight slots, and may load limit of n adapters, a0 to an.
func adaptedInstance(tb testing.TB, n, limit int) (*table, *inst) {
	tab := newTestTable()
	m := model("a", 1, 100)
	m.Options = map[string]string{engine.MaxAdapters: fmt.Sprint(limit)}
	for i := range n {
		m.Adapters = append(m.Adapters, &wire.ModelFile{Name: fmt.Sprintf("a%d", i)})
	}
	return tab, tab.mustBeReady(tb, m, 8)
}

func askFor(l Lease, adapter string) *Admit {
	m := ask(l, "a")
	m.Adapter = adapter
	return m
}

// reasonOf asks for the adapter; "": it was admitted.
func reasonOf(t *table, l Lease, adapter string, now time.Time) string {
	_, _, r := t.admit(askFor(l, adapter), now)
	if r == nil {
		return ""
	}
	return r.Reason
}

// obeyed carries the orders out, as the instance's actor would.
func obeyed(t *table, in *inst, orders []order, now time.Time) {
	for _, o := range orders {
		t.adapted(&instance.Adapted{Instance: in.id, Run: in.run, Name: o.name, Load: o.load}, now)
	}
}

func TestManyRequestsLoadAnAdapterOnce(t *testing.T) {
	tab, in := adaptedInstance(t, 2, 8)
	now := time.Unix(1000, 0)
	var orders []order
	for l := range Lease(5) {
		if reason := reasonOf(tab, l, "a0", now); reason != spec.RejectLoading {
			t.Fatalf("it is %q", reason)
		}
		orders = append(orders, tab.adapt(in, now)...)
	}
	if len(orders) != 1 || orders[0] != (order{in, "a0", true}) || in.leases != 0 {
		t.Fatalf("orders %+v, %d leases", orders, in.leases)
	}
	if m := in.marks(); len(m) != 0 {
		t.Errorf("told as loaded: %v", m)
	}
	obeyed(tab, in, orders, now)
	if reason := reasonOf(tab, 9, "a0", now); reason != "" {
		t.Errorf("loaded, and %q", reason)
	}
	if m := tab.digest(in, traceEpoch).GetAdapters(); len(m) != 1 || m[0] != spec.AdapterMark("a0") {
		t.Errorf("the digest tells %v", m)
	}
	if reason := reasonOf(tab, 10, "unknown", now); reason != spec.RejectStale {
		t.Errorf("an adapter that the deployment has not: %q", reason)
	}
}

func TestTheLeastRecentlyUsedAdapterGoes(t *testing.T) {
	tab, in := adaptedInstance(t, 4, 2)
	now := time.Unix(1000, 0)
	load := func(l Lease, name string) {
		t.Helper()
		reasonOf(tab, l, name, now)
		for len(tab.adaptAll(in, now)) > 0 {
		}
		if reason := reasonOf(tab, l, name, now); reason != "" {
			t.Fatalf("%s: %q", name, reason)
		}
	}
	load(1, "a0")
	load(2, "a1") // both have requests
	reasonOf(tab, 3, "a2", now)
	if orders := tab.adapt(in, now); len(orders) != 0 {
		t.Fatalf("one with requests goes: %+v", orders)
	}
	now = now.Add(time.Second)
	tab.release(&Release{Lease: 2}, now)
	now = now.Add(time.Second)
	tab.release(&Release{Lease: 1}, now)
	if orders := tab.adaptAll(in, now); len(orders) != 1 || orders[0] != (order{in, "a1", false}) {
		t.Fatalf("who goes: %+v, want a1, which was used before a0", orders)
	}
	if orders := tab.adaptAll(in, now); len(orders) != 1 || orders[0] != (order{in, "a2", true}) {
		t.Fatalf("then comes: %+v", orders)
	}
	reasonOf(tab, 4, "a3", now)
	if orders := tab.adaptAll(in, now); len(orders) != 1 || orders[0].name != "a0" {
		t.Fatalf("%+v: a2 has not been used yet, and stays for a while", orders)
	}
}

// adaptAll is adapt, with the orders carried out.
func (t *table) adaptAll(in *inst, now time.Time) []order {
	orders := t.adapt(in, now)
	obeyed(t, in, orders, now)
	return orders
}

// TestNobodyStarvesForAnAdapter: adapters that are never without requests make room
// after a while.
func TestNobodyStarvesForAnAdapter(t *testing.T) {
	tab, in := adaptedInstance(t, 2, 1)
	now := time.Unix(1000, 0)
	reasonOf(tab, 0, "a0", now)
	tab.adaptAll(in, now)
	reasonOf(tab, 1, "a0", now)
	reasonOf(tab, 2, "a1", now)
	now = now.Add(patience)
	tab.adapt(in, now)
	if reason := reasonOf(tab, 3, "a0", now); reason != spec.RejectLoading || len(in.marks()) != 0 {
		t.Fatalf("it yields, and answers %q", reason)
	}
	tab.release(&Release{Lease: 1}, now)
	tab.adaptAll(in, now)
	tab.adaptAll(in, now)
	if reason := reasonOf(tab, 4, "a1", now); reason != "" {
		t.Errorf("the other has its turn, and is %q", reason)
	}
}

func TestAnAdapterThatCannotBeLoaded(t *testing.T) {
	tab, in := adaptedInstance(t, 1, 8)
	now := time.Unix(1000, 0)
	reasonOf(tab, 1, "a0", now)
	tab.adapt(in, now)
	tab.adapted(&instance.Adapted{Instance: in.id, Run: in.run, Name: "a0", Load: true, Err: errors.New("wrong shape")}, now)
	if reason := reasonOf(tab, 2, "a0", now); reason != spec.RejectAdapter || len(tab.adapt(in, now)) != 0 {
		t.Errorf("it failed a moment ago, and is %q", reason)
	}
	if d := tab.digest(in, traceEpoch); d.Reason != "adapter a0: wrong shape" || d.State != isReady {
		t.Errorf("the digest tells %s, %q", d.State, d.Reason)
	}
	if reason := reasonOf(tab, 3, "", now); reason != "" {
		t.Errorf("the model itself is %q", reason)
	}
	now = now.Add(adapterRest)
	if reason := reasonOf(tab, 4, "a0", now); reason != spec.RejectLoading || len(tab.adaptAll(in, now)) != 1 {
		t.Errorf("later it is %q", reason)
	}
	if in.reason != "" {
		t.Errorf("loaded, and the reason stays: %s", in.reason)
	}
}

// TestAnotherEngineHasNoAdapters: what the crashed one had is loaded again when asked for.
func TestAnotherEngineHasNoAdapters(t *testing.T) {
	tab, in := adaptedInstance(t, 1, 8)
	now := time.Unix(1000, 0)
	reasonOf(tab, 1, "a0", now)
	tab.adaptAll(in, now)
	reasonOf(tab, 2, "a0", now)
	tab.becomes(in, restarting, nil)
	tab.becomes(in, isReady, stub{slots: 8})
	tab.release(&Release{Lease: 2}, now)
	if reason := reasonOf(tab, 3, "a0", now); reason != spec.RejectLoading {
		t.Errorf("it is %q", reason)
	}
}

// TestAdaptersKeepTheirRules: never more than the limit take a place, none goes that has
// requests, and who has requests is loaded.
func TestAdaptersKeepTheirRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 3).Draw(rt, "limit")
		tab, in := adaptedInstance(t, 5, limit)
		now, next := time.Unix(1000, 0), Lease(0)
		var held []Lease
		var open []order
		rt.Repeat(map[string]func(*rapid.T){
			"ask": func(rt *rapid.T) {
				next++
				if reasonOf(tab, next, fmt.Sprintf("a%d", rapid.IntRange(0, 4).Draw(rt, "adapter")), now) == "" {
					held = append(held, next)
				}
			},
			"release": func(rt *rapid.T) {
				if len(held) == 0 {
					rt.Skip()
				}
				tab.release(&Release{Lease: held[0]}, now)
				held = held[1:]
			},
			"pass": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 6000).Draw(rt, "ms")) * time.Millisecond)
			},
			"obey": func(rt *rapid.T) {
				if len(open) == 0 {
					rt.Skip()
				}
				m := &instance.Adapted{Instance: in.id, Run: in.run, Name: open[0].name, Load: open[0].load}
				if rapid.IntRange(0, 4).Draw(rt, "fails") == 0 {
					m.Err = errors.New("no")
				}
				tab.adapted(m, now)
				open = open[1:]
			},
			"": func(rt *rapid.T) {
				for _, o := range tab.adapt(in, now) {
					if !o.load && in.adapters[o.name].leases > 0 {
						rt.Fatalf("%s goes with %d requests", o.name, in.adapters[o.name].leases)
					}
					open = append(open, o)
				}
				places, leases := 0, 0
				for _, a := range in.adapters {
					if a.state == adapterLoading || a.state == adapterLoaded || a.state == adapterLeaving {
						places++
					}
					if a.leases > 0 && a.state != adapterLoaded {
						rt.Fatalf("%s has requests in state %d", a.name, a.state)
					}
					leases += a.leases
				}
				if places > limit || leases != len(held) {
					rt.Fatalf("%d of %d places, %d leases of %d", places, limit, leases, len(held))
				}
			},
		})
	})
}

func TestAdaptersAreCounted(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	tab, in := adaptedInstance(t, 3, 2)
	now := time.Unix(1000, 0)
	for i := range 3 {
		reasonOf(tab, Lease(i), fmt.Sprintf("a%d", i), now)
	}
	tab.adaptAll(in, now)
	m.showAdapters("gpu/1", tab.sorted())
	count := func(state string) float64 {
		var out dto.Metric
		if err := m.adapters.WithLabelValues("gpu/1", "d", state).Write(&out); err != nil {
			t.Fatal(err)
		}
		return out.GetGauge().GetValue()
	}
	if count("loaded") != 2 || count("waiting") != 1 {
		t.Errorf("%v loaded, %v wait", count("loaded"), count("waiting"))
	}
	m.showAdapters("gpu/1", nil)
	if n := sumOf(t, r, "lotabots_instance_adapters"); n != 0 {
		t.Errorf("%v adapters of a deployment that has left", n)
	}
}
