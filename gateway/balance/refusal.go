package balance

import (
	"math"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// MinRetry is the least that a client is told to wait.
const MinRetry = time.Second

// What else clients are told to wait: who restarts may be there in a moment, what
// has failed or has no place needs somebody who sees to it.
const (
	mostRetry = time.Minute
	soonRetry = 2 * time.Second
	lateRetry = 15 * time.Second
)

// A Refusal says that there is no place, and when to ask again.
type Refusal struct {
	RetryAfter time.Duration
	Err        *spec.Error
	// Why is what a device tells of the cause, for those who may know the cluster's
	// insides: it may name files and programs. Empty: nothing is known.
	Why string
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

func (t *Table) refusalLocked(p *pool, q *Query, s Standing) error {
	switch s {
	case Full:
		return t.shedLocked(p, q, causeTimeout)
	case Bringing:
		return &Refusal{RetryAfter: p.loadedIn(), Err: spec.Errorf(spec.CodeNotReady,
			"The adapter of %q that the request names is being loaded and was not ready in time.", q.Deployment)}
	case Warming:
		return p.late(q)
	case Exhausted, Dying:
		return &Refusal{RetryAfter: time.Second, Err: spec.Errorf(spec.CodeUpstream,
			"Every instance of %q that is ready failed this request.", q.Deployment)}
	}
	if r := p.broken(q, t.cfg.Now()); r != nil {
		return r
	}
	return p.unready(q)
}

// late is for a load that was not ready in time.
func (p *pool) late(q *Query) *Refusal {
	for _, in := range p.list {
		if in.State == wire.InstanceState_INSTANCE_STATE_LOADING && in.phase == phaseMemory {
			return &Refusal{RetryAfter: p.loadedIn(), Why: in.reason, Err: &spec.Error{Code: spec.CodeNotReady,
				Message: "The model of " + quoted(q) + " is to be loaded, and no memory for it has come free in time: other models have it.",
				Hint:    "Retry after Retry-After; if it happens often, add a device or deploy fewer models."}}
		}
	}
	return &Refusal{RetryAfter: p.loadedIn(), Err: spec.Errorf(spec.CodeNotReady,
		"The model of %q is being loaded and was not ready in time.", q.Deployment)}
}

// broken is where whoever would serve has failed too often of late; nil: nobody has.
func (p *pool) broken(q *Query, now time.Time) *Refusal {
	var wait time.Duration
	for _, in := range p.list {
		if in.State != wire.InstanceState_INSTANCE_STATE_READY || in.breaker.lets(now) || !in.reachable(q) {
			continue
		}
		if left := max(in.breaker.until.Sub(now), MinRetry); wait == 0 || left < wait {
			wait = left
		}
	}
	if wait == 0 {
		return nil
	}
	return &Refusal{RetryAfter: wait, Err: &spec.Error{Code: spec.CodeNotReady,
		Message: "Every instance of " + quoted(q) + " has failed its last requests, and is tried with one at a time.",
		Hint:    "Retry after Retry-After; lotabots status and the log of the node show what fails."}}
}

// unready is where nobody serves, and nobody is being loaded that may be waited for.
func (p *pool) unready(q *Query) *Refusal {
	for _, in := range p.list {
		switch in.State {
		case wire.InstanceState_INSTANCE_STATE_FAILED:
			return &Refusal{RetryAfter: lateRetry, Why: in.reason, Err: &spec.Error{Code: spec.CodeNotReady,
				Message: "The model of " + quoted(q) + " could not be loaded.",
				Hint:    "lotabots status shows the reason; the load is tried again after a while."}}
		case wire.InstanceState_INSTANCE_STATE_RESTARTING:
			return &Refusal{RetryAfter: soonRetry, Why: in.reason, Err: &spec.Error{Code: spec.CodeNotReady,
				Message: "The engine of " + quoted(q) + " has ended and is being started again.",
				Hint:    "Retry after Retry-After; lotabots status shows why it ended."}}
		}
	}
	if len(p.list) == 0 && !q.Expected {
		return &Refusal{RetryAfter: lateRetry, Err: &spec.Error{Code: spec.CodeNotReady,
			Message: "No device has a place for " + quoted(q) + ".",
			Hint:    "lotabots status shows why, as not placed; retry once it is placed."}}
	}
	return &Refusal{RetryAfter: soonRetry, Err: spec.Errorf(spec.CodeNotReady,
		"No instance of %q is ready to serve this request.", q.Deployment)}
}

// phaseMemory is the phase of a load that waits for memory, as devices tell it.
const phaseMemory = "memory"

func quoted(q *Query) string { return `"` + q.Deployment + `"` }

// retryAfter reckons when those who would be served before q will have been: by the pace
// of the queue, or where that is not known by how long requests take.
func (p *pool) retryAfter(q *Query, now time.Time) time.Duration {
	if wait, ok := p.queue.Wait(q.Tenant, q.Priority, now); ok {
		return min(max(wait, MinRetry), mostRetry)
	}
	slots := 0
	for _, in := range p.list {
		slots += max(in.Slots, 1)
	}
	s := math.Ceil(float64(p.queue.Len()+1) * max(p.hold, 0.5) / float64(max(slots, 1)))
	return min(max(time.Duration(s)*time.Second, MinRetry), mostRetry)
}

// loadedIn reckons when a load will have ended.
func (p *pool) loadedIn() time.Duration {
	soonest := 0.0
	for _, in := range p.list {
		if s := in.loadSeconds; s > 0 && (soonest == 0 || s < soonest) {
			soonest = s
		}
	}
	return time.Duration(min(max(math.Ceil(soonest), 5), 60)) * time.Second
}
