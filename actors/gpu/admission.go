package gpu

import (
	"time"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Bounds of what a busy actor tells callers to wait.
const (
	minRetry = 50 * time.Millisecond
	maxRetry = 10 * time.Second
)

// admit takes a place for a request, or tells why there is none.
func (t *table) admit(m *Admit, now time.Time) (engine.Engine, *inst, *spec.Rejection) {
	in := t.instances[m.Instance]
	reason := t.refuse(in, m)
	if in != nil {
		kept := in.hears(m, now)
		if f := t.facts(in); reason == "" && !kept && !in.gate.Room(&f, max(m.PromptTokens, 0), now) {
			reason = spec.RejectBusy
		}
	}
	var a *adapter
	if reason == "" {
		a, reason = in.adapterFor(m.Adapter, now)
	}
	if reason != "" {
		r := &spec.Rejection{Reason: reason}
		switch {
		case reason == spec.RejectLoading && in.engine != nil:
			r.RetryAfter = adapterSoon
		case reason == spec.RejectBusy:
			r.RetryAfter = in.retryAfter()
		case reason == spec.RejectLoading:
			t.wake(in, now)
			r.RetryAfter = in.readyIn(now)
		}
		return nil, in, r
	}
	if a != nil {
		a.leases++
		a.used = now
	}
	t.take(in, a, m.Lease, max(m.PromptTokens, 0), m.Streamed, now)
	return in.engine, in, nil
}

// take has a request hold a place.
func (t *table) take(in *inst, a *adapter, l Lease, prompt int, streamed bool, now time.Time) {
	in.used(now)
	in.demand.Note(now)
	since := in.passes(now)
	in.leases++
	if streamed {
		in.streams++
	}
	f := t.facts(in)
	in.unread += prompt
	in.gate.Take(&f, prompt, now)
	held := t.unused()
	*held = lease{inst: in, adapter: a, prompt: prompt, streamed: streamed, ahead: in.unread, since: since, began: now}
	t.leases[l] = held
}

// mostSpare bounds what is kept of leases that have ended.
const mostSpare = 1024

func (t *table) unused() *lease {
	last := len(t.spare) - 1
	if last < 0 {
		return new(lease)
	}
	l := t.spare[last]
	t.spare = t.spare[:last]
	return l
}

// refuse says why the request may not be served there; "": it may.
func (t *table) refuse(in *inst, m *Admit) string {
	switch {
	case in == nil || m.Deployment != in.load.GetDeployment():
		return spec.RejectNotLoaded
	case t.draining || in.state == wire.InstanceState_INSTANCE_STATE_DRAINING:
		return spec.RejectDraining
	case t.quarantined() || in.state == wire.InstanceState_INSTANCE_STATE_RESTARTING || in.state == wire.InstanceState_INSTANCE_STATE_FAILED:
		return spec.RejectUnhealthy
	case in.engine == nil && !in.load.GetOnDemand():
		return spec.RejectNotLoaded
	case m.Version != 0 && m.Version != in.load.GetVersion():
		return spec.RejectStale
	case in.engine == nil:
		return spec.RejectLoading
	case in.yielding:
		return spec.RejectBusy
	}
	return ""
}

// retryAfter is when a slot is likely to be free: the mean time that one is held,
// shared by all slots.
func (in *inst) retryAfter() time.Duration {
	mean := time.Duration(in.holdTime / float64(max(in.places(), 1)) * float64(time.Second))
	return min(max(mean, minRetry), maxRetry)
}

// firstByte notes that the lease's prompt is no backlog any more. It returns the
// instance, nil if the lease is not held.
func (t *table) firstByte(m *FirstByte, now time.Time) *inst {
	l := t.leases[m.Lease]
	if l == nil {
		return nil
	}
	if m.Streamed && l.prompt > 0 {
		l.inst.pace.Learn(l.ahead, now.Sub(l.began).Seconds())
	}
	l.inst.unread -= l.prompt
	l.prompt = 0
	return l.inst
}

// release gives a place back and learns from how the request went. It returns the
// instance, nil if the lease was not held, and whether its actor is to stop now.
func (t *table) release(m *Release, now time.Time) (in *inst, stop bool) {
	l := t.leases[m.Lease]
	if l == nil {
		return nil, false
	}
	delete(t.leases, m.Lease)
	in = l.inst
	t.went(l, m, now)
	in.leases--
	if l.streamed {
		in.streams--
	}
	in.used(now)
	if a := l.adapter; a != nil {
		a.leases--
		a.used, a.served = now, true
	}
	in.unread -= l.prompt
	in.rate.note(m.PromptTokens+m.CompletionTokens, now)
	held := now.Sub(l.began).Seconds()
	if in.holdTime == 0 {
		in.holdTime = held
	}
	in.holdTime += 0.1 * (held - in.holdTime)
	if m.Prefill > 0 {
		in.prefill.learn(float64(m.PromptTokens)/m.Prefill.Seconds(), m.PromptTokens)
	}
	if m.Decode > 0 && m.CompletionTokens > 1 {
		in.decode.learn(float64(m.CompletionTokens-1)/m.Decode.Seconds(), 10*m.CompletionTokens)
	}
	if *l = (lease{}); len(t.spare) < mostSpare {
		t.spare = append(t.spare, l)
	}
	if in.leases == 0 && in.state == wire.InstanceState_INSTANCE_STATE_DRAINING && !in.leaving && t.instances[in.id] == in {
		in.leaving = true
		return in, true
	}
	return in, false
}
