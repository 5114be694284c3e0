package actors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/lotabots/lotabots/actors/answers"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// expireTurn is how often answers that are too old are looked for.
const expireTurn = time.Minute

// recalling answers a call by what its device's cache has, or has an engine asked for it
// and for those who ask the same meanwhile. An answer that was kept, or that is under
// way, takes no place. Calls of deployments that keep no answers pass.
func (s *System) recalling(next opening) opening {
	return func(ctx context.Context, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error) {
		if call.Cache == nil {
			return next(ctx, target, call, body)
		}
		return s.recall(ctx, next, target, *call, body)
	}
}

func (s *System) recall(ctx context.Context, next opening, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	ask := call.Cache
	r := answers.Request{
		Key: answers.Key{Tenant: call.Tenant, Deployment: call.Deployment, Version: call.Version, Sum: ask.Sum}, By: call.Tenant,
		TTL: ask.TTL, MaxBytes: ask.MaxBytes, MaxAge: ask.MaxAge, Fresh: ask.Fresh, Only: ask.Only,
	}
	if ask.Shared {
		r.Key.Tenant = ""
	}
	call.Cache = nil
	for {
		found := s.answers[target.Device].Ask(&r)
		switch {
		case found.Answer != nil:
			s.unused(target, &call)
			return found.Replay(), nil
		case found.Reader == nil && s.closing.Load():
			return nil, &spec.Rejection{Reason: spec.RejectDraining}
		case found.Reader == nil:
			return nil, &spec.Rejection{Reason: spec.RejectBusy}
		case found.Flight != nil:
			work := found.Flight.Context(ctx)
			go s.fly(work, found.Flight, next, target, call, body) // answers.Cache.Close waits for it
		default:
			s.unused(target, &call) // it may be long until it is known how the other ends
		}
		err := found.Reader.Opened(ctx)
		var refused *spec.Rejection
		switch {
		case err == nil:
			return found.Reader, nil
		case found.Flight != nil, ctx.Err() != nil:
			return nil, err
		case !errors.As(err, &refused):
			return nil, fmt.Errorf("%w: %w", spec.ErrJoined, err)
		}
		// Whoever it joined was refused: that says nothing of itself, so it asks for itself.
	}
}

// unused gives back the place that was kept for a call which needs none, and takes in
// what else waits at its gateway.
func (s *System) unused(target spec.Target, call *spec.Call) {
	if call.Lease == 0 && call.Waits == nil {
		return
	}
	waits := call.Waiting(target.Instance)
	waits.Declined = call.Lease
	s.system.Root.Send(s.pids[target.Device], &gpu.Waits{Reservation: waits})
	call.Lease, call.Waits = 0, nil
}

var pieces = pool.New("kept-answers", func() *[32 << 10]byte { return new([32 << 10]byte) })

// fly asks the engine for all who wait for the answer, in whose hands its deadline is.
func (s *System) fly(ctx context.Context, f *answers.Flight, next opening, target spec.Target, call spec.Call, body []byte) {
	call.Deadline = time.Time{}
	defer func() { // it runs on a goroutine of its own, where a panic would end the node
		p := recover()
		if p == nil {
			return
		}
		s.cfg.Log.Error("panic while an answer was made", "request_id", call.RequestID, "instance", target.Instance, "panic", p, "stack", string(debug.Stack()))
		f.Fail(spec.Errorf(spec.CodeInternal, "The request failed in the node."))
	}()
	from, err := next(ctx, target, &call, body)
	if err != nil {
		f.Fail(err)
		return
	}
	defer from.Close()
	if t, ok := from.(spec.Timed); ok {
		if d, timed := t.Held(); timed {
			f.Took(d)
		}
	}
	if h, ok := from.(spec.Hiding); ok && h.Hides() {
		f.Hide()
	}
	load, told := from.Load()
	f.Open(from.Status(), from.ContentType(), load, told)
	piece := pieces.Get()
	defer pieces.Put(piece)
	for {
		n, err := from.Read(piece[:])
		if n > 0 {
			if _, left := f.Write(piece[:n]); left != nil {
				err = left
			}
		}
		switch err {
		case nil:
			continue
		case io.EOF:
			load, told = from.Load()
			f.Land(load, told)
		default:
			f.Fail(err)
		}
		return
	}
}

// expireAnswers has what is too old leave memory, until ctx ends.
func (s *System) expireAnswers(ctx context.Context) {
	tick := time.NewTicker(expireTurn)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, c := range s.answers {
				c.Expire()
			}
		}
	}
}

// PurgeAnswers drops those of all devices that fit, and tells how many.
func (s *System) PurgeAnswers(m answers.Match) (n int) {
	for _, c := range s.answers {
		n += c.Purge(m)
	}
	return n
}

// KeepAnswers says which versions of the deployment there are now; none: it is gone, or its
// answers are not to be kept.
func (s *System) KeepAnswers(deployment string, versions ...uint64) {
	for _, c := range s.answers {
		c.Serves(deployment, versions...)
	}
}

// Answers tells of the kept answers of each device.
func (s *System) Answers() map[spec.DeviceID][]answers.Stat {
	out := make(map[spec.DeviceID][]answers.Stat, len(s.answers))
	for id, c := range s.answers {
		out[id] = c.Stats()
	}
	return out
}
