package gpu

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	// adapterRest is how long an adapter that could not be loaded is not tried again.
	adapterRest = 10 * time.Second
	// adapterStay is how long an adapter that nobody has used yet stays at least: whoever
	// had it loaded is on the way.
	adapterStay = 2 * time.Second
	// adapterSoon is when a caller may look again for an adapter.
	adapterSoon = 250 * time.Millisecond
)

type adapterState uint8

const (
	adapterWaiting adapterState = iota // for a place among those that are loaded
	adapterLoading
	adapterLoaded
	adapterLeaving
	adapterFailed
)

// An adapter is one of the instance's that has been asked for. What is not there is
// not loaded.
type adapter struct {
	name     string
	state    adapterState
	leases   int
	served   bool      // since it was loaded
	yielding bool      // admits no more: its place is for another
	since    time.Time // of the state
	asked    time.Time // when it was last asked for
	used     time.Time
}

// An order has an instance's actor load an adapter, or unload it.
type order struct {
	in   *inst
	name string
	load bool
}

// adapterFor is the adapter that a request needs, or why the request has to wait. An
// adapter that is not there is wanted from then on; many requests make one load.
func (in *inst) adapterFor(name string, now time.Time) (a *adapter, reason string) {
	if name == "" {
		return nil, ""
	}
	if !slices.ContainsFunc(in.load.GetAdapters(), func(f *wire.ModelFile) bool { return f.GetName() == name }) {
		return nil, spec.RejectStale
	}
	a = in.adapters[name]
	switch {
	case a == nil:
		a = &adapter{name: name, since: now}
		in.adapters[name] = a
	case a.state == adapterLoaded && !a.yielding:
		return a, ""
	case a.state == adapterFailed && now.Sub(a.since) < adapterRest:
		return nil, spec.RejectAdapter
	case a.state == adapterFailed:
		a.state, a.since = adapterWaiting, now
	}
	a.asked = now
	return nil, spec.RejectLoading
}

// adapt decides which adapters come and go: those that are waited for, in the order
// of their asking, get the places that are free; else those go that were used longest
// ago, and have no requests. An adapter with requests is let run out of them after a
// while, so that nobody starves.
func (t *table) adapt(in *inst, now time.Time) (orders []order) {
	if len(in.adapters) == 0 || in.engine == nil {
		return nil
	}
	queue, held, coming := in.adapterQueue(now)
	for _, a := range queue {
		switch {
		case held < adapterLimit(in.load):
			a.state, a.since = adapterLoading, now
			held++
			orders = append(orders, order{in, a.name, true})
			continue
		case coming > 0:
			coming--
			continue
		}
		v := in.victim(now)
		switch {
		case v == nil:
		case v.leases == 0:
			v.state, v.since, v.yielding = adapterLeaving, now, false
			orders = append(orders, order{in, v.name, false})
		case now.Sub(a.since) >= patience:
			v.yielding = true
		}
	}
	if len(queue) == 0 {
		for _, a := range in.adapters {
			a.yielding = false
		}
	}
	return orders
}

// adapterQueue lists those that wait, whose turn is first first, and counts those that
// take a place, and of these the ones that leave. What nobody asks for any more does
// not wait.
func (in *inst) adapterQueue(now time.Time) (queue []*adapter, held, leaving int) {
	for name, a := range in.adapters {
		switch a.state {
		case adapterWaiting:
			if now.Sub(a.asked) > demandLasts {
				delete(in.adapters, name)
				continue
			}
			queue = append(queue, a)
		case adapterLeaving:
			leaving++
			held++
		case adapterLoading, adapterLoaded:
			held++
		}
	}
	slices.SortFunc(queue, func(a, b *adapter) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.name, b.name)) })
	return queue, held, leaving
}

// victim is the adapter whose place is given away next: without requests if there is
// such a one, and of these the one that was used longest ago; nil: all are too young.
func (in *inst) victim(now time.Time) (v *adapter) {
	for _, a := range in.adapters {
		if a.state != adapterLoaded || !a.served && now.Sub(a.since) < adapterStay {
			continue
		}
		if v == nil || cmp.Or(compareBool(a.leases > 0, v.leases > 0), compareBool(v.yielding, a.yielding), a.used.Compare(v.used), cmp.Compare(a.name, v.name)) < 0 {
			v = a
		}
	}
	return v
}

// adapterLimit is how many adapters the instance may have loaded at a time.
func adapterLimit(load *wire.LoadModel) int {
	if n, err := strconv.Atoi(load.GetOptions()[engine.MaxAdapters]); err == nil && n > 0 {
		return n
	}
	return engine.DefaultAdapters
}

// adapted takes in what came of an order; nil: it is not of the engine that runs now.
func (t *table) adapted(m *instance.Adapted, now time.Time) *inst {
	in := t.instances[m.Instance]
	if in == nil || in.run != m.Run {
		return nil
	}
	a := in.adapters[m.Name]
	switch {
	case a == nil:
		return nil
	case a.state == adapterLeaving: // what could not be unloaded is not asked any more either
		delete(in.adapters, m.Name)
		if a.asked.After(a.since) {
			in.adapters[m.Name] = &adapter{name: m.Name, since: now, asked: a.asked}
		}
	case a.state != adapterLoading:
		return nil
	case m.Err != nil:
		a.state, a.since = adapterFailed, now
		in.reason = clip("adapter "+m.Name+": "+m.Err.Error(), maxReason)
	default:
		a.state, a.since, a.used, a.served = adapterLoaded, now, now, false
		in.reason = ""
	}
	return in
}

// marks are those of the adapters that are loaded and take requests.
func (in *inst) marks() (out []uint32) {
	for _, a := range in.adapters {
		if a.state == adapterLoaded && !a.yielding {
			out = append(out, spec.AdapterMark(a.name))
		}
	}
	slices.Sort(out)
	return out
}
