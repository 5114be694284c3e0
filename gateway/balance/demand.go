package balance

import (
	"cmp"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// demandWindow is the time that Demands tells of.
const demandWindow = 10 * time.Second

// A demand counts what is asked of one deployment, by second.
type demand struct {
	seconds [int(demandWindow/time.Second) + 1]second
	until   int64 // second of what was counted last
}

type second struct {
	unix             int64
	arrived, refused uint32
	waits            [len(spec.WaitBounds)]uint32
}

// at is what is counted of the second.
func (d *demand) at(now time.Time) *second {
	d.until = now.Unix()
	s := &d.seconds[uint64(d.until)%uint64(len(d.seconds))]
	if s.unix != d.until {
		*s = second{unix: d.until}
	}
	return s
}

// A stage is how far a request has been counted: one that is tried again is counted once.
type stage uint8

const (
	uncounted stage = iota
	arrived
	placed
)

func (p *pool) counts(q *Query, now time.Time) {
	if q.stage == uncounted {
		q.stage = arrived
		p.demand.at(now).arrived++
	}
}

// countsPlace counts that q has a place at in, and how long it has waited. Who is to have
// a cold one loaded has none yet.
func (p *pool) countsPlace(q *Query, in *Instance, now time.Time) {
	if q.stage != arrived || in.State != wire.InstanceState_INSTANCE_STATE_READY {
		return
	}
	q.stage = placed
	var waited time.Duration
	if !q.came.IsZero() {
		waited = now.Sub(q.came)
	}
	p.demand.at(now).waits[spec.WaitBound(waited)]++
}

// demandLocked is what is counted of the deployment; it outlives its pool.
func (t *Table) demandLocked(deployment string) *demand {
	d := t.mu.demands[deployment]
	if d == nil {
		d = &demand{}
		t.mu.demands[deployment] = d
	}
	return d
}

// Demands tells what has been asked for of late, by deployment; those of which nothing
// has been for the whole of it are left out.
func (t *Table) Demands() []*wire.Demand {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*wire.Demand
	now := t.cfg.Now()
	for name, d := range t.mu.demands {
		p := t.mu.pools[name]
		if quiet := now.Unix()-d.until > int64(demandWindow/time.Second); quiet && (p == nil || p.queue.Len() == 0) {
			if p == nil {
				delete(t.mu.demands, name)
			}
			continue
		}
		w := d.sum(now)
		w.Deployment = name
		if p != nil && p.queue.Len() > 0 {
			w.Waiting, w.OldestMs = uint32(p.queue.Len()), uint32(max(now.Sub(p.queue.Oldest()).Milliseconds(), 0))
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *wire.Demand) int { return cmp.Compare(a.GetDeployment(), b.GetDeployment()) })
	return out
}

// sum is what the window has.
func (d *demand) sum(now time.Time) *wire.Demand {
	out := &wire.Demand{WindowMs: uint32(demandWindow.Milliseconds()) + uint32(now.Nanosecond()/1e6)}
	var waits [len(spec.WaitBounds)]uint32
	last := 0
	for i := range d.seconds {
		s := &d.seconds[i]
		if age := now.Unix() - s.unix; age < 0 || age > int64(demandWindow/time.Second) {
			continue
		}
		out.Arrived, out.Refused = out.Arrived+s.arrived, out.Refused+s.refused
		for j, n := range s.waits {
			if waits[j] += n; waits[j] > 0 {
				last = max(last, j+1)
			}
		}
	}
	out.Waits = append(out.Waits, waits[:last]...)
	return out
}
