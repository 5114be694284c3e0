package reconcile

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
)

// pace spaces the commands of one kind about one instance: one at a time, a quiet
// time after one that was taken (its effect has yet to be observed), longer and
// longer after failures. An Unload need not wait for a Load that hangs: the
// device takes them in its own order, and what is left over is an orphan.
type pace struct {
	mu struct {
		sync.Mutex
		by map[paceKey]*paced
	}
}

type paceKey struct {
	instance spec.InstanceID
	kind     placement.Kind
}

type paced struct {
	busy     bool
	next     time.Time
	failures int
	refusals int // in turn, by the device itself
	why      string
}

const (
	quiet        = 3 * time.Second
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 30 * time.Second
	refusalLimit = 3 // then the instance counts as failed on its device
)

func newPace() *pace {
	p := &pace{}
	p.mu.by = map[paceKey]*paced{}
	return p
}

// begin tells whether a command may go out now.
func (p *pace) begin(k paceKey, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.mu.by[k]
	if c == nil {
		c = &paced{}
		p.mu.by[k] = c
	}
	if c.busy || now.Before(c.next) {
		return false
	}
	c.busy = true
	return true
}

// end notes how a command went, and leaves it alone for rest if it went well.
func (p *pace) end(k paceKey, now time.Time, err error, rest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.mu.by[k]
	if c == nil { // forgotten meanwhile
		return
	}
	c.busy = false
	if err == nil {
		c.next, c.failures, c.refusals = now.Add(rest), 0, 0
		return
	}
	c.next = now.Add(doubled(firstBackoff, lastBackoff, c.failures))
	c.failures++
	if refusesForGood(err) {
		c.refusals++
		c.why = err.Error()
	}
}

// refusesForGood tells a device's refusal, which another device might not share,
// from a failure to ask it.
func refusesForGood(err error) bool {
	switch spec.CodeOf(err) {
	case spec.CodeOutOfMemory, spec.CodeEngineStart, spec.CodeEngineUnknown, spec.CodeEngineUnavailable,
		spec.CodeModelDamaged, spec.CodeUnsupported, spec.CodeInvalidRequest, spec.CodeFeatureLevel:
		return true
	}
	return false
}

// refused lists instances that their devices would not load, time and again.
func (p *pace) refused() map[spec.InstanceID]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[spec.InstanceID]string{}
	for k, c := range p.mu.by {
		if k.kind == placement.Load && c.refusals >= refusalLimit {
			out[k.instance] = c.why
		}
	}
	return out
}

// forget drops instances that are neither placed nor observed.
func (p *pace) forget(w placement.Wanted, o placement.Observed) {
	known := map[spec.InstanceID]bool{}
	for _, pl := range w.Placements {
		known[spec.InstanceID(pl.Instance)] = true
	}
	for _, d := range o.Devices {
		for _, i := range d.Load.GetInstances() {
			known[spec.InstanceID(i.Instance)] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := slices.Collect(maps.Keys(p.mu.by))
	for _, k := range keys {
		if !known[k.instance] && !p.mu.by[k].busy {
			delete(p.mu.by, k)
		}
	}
}
