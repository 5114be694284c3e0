package actors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/actors/batch"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// admitTimeout is for an actor that is stuck: it answers in microseconds.
const admitTimeout = 2 * time.Second

// opener serves calls on this node's devices.
type opener struct{ s *System }

var _ spec.Opener = opener{}

// Open admits the call and asks the engine. See spec.Opener.
func (o opener) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	device := o.s.pids[target.Device]
	if reason := o.refuse(device, &call); reason != "" {
		return nil, &spec.Rejection{Reason: reason}
	}
	if unstaged(&call) { // nobody keeps it
		return o.engine(ctx, target, &call, body)
	}
	kept := call
	return o.s.open(ctx, target, &kept, body)
}

// refuse says why the call cannot be served on this node, by any instance.
func (o opener) refuse(device *actor.PID, call *spec.Call) string {
	switch {
	case o.s.closing.Load():
		return spec.RejectDraining
	case device == nil:
		return spec.RejectNotLoaded
	case len(call.Regions) > 0 && !slices.Contains(call.Regions, o.s.cfg.Region):
		return spec.RejectRegion
	case o.s.cfg.Revoked(call.Key):
		return spec.RejectRevoked
	}
	return ""
}

// A place is what a call holds between its admission and its end.
type place struct {
	engine engine.Engine
	lease  gpu.Lease
	device *actor.PID
	lane   *gpu.Lane // nil: the instance has none
	since  time.Time // when it was given
}

// An admission is what one call waits for its actor's answer with. It is used again
// once the answer has been taken.
type admission struct {
	reply chan gpu.Admission
	limit *time.Timer
}

var admissions = pool.New("admissions", func() *admission {
	limit := time.NewTimer(admitTimeout)
	limit.Stop()
	return &admission{make(chan gpu.Admission, 1), limit}
})

// admit takes a place by the instance's lane, or asks the device's actor, and tells the load with it. A place that is not
// waited for is given back.
func (o opener) admit(ctx context.Context, device *actor.PID, target spec.Target, call *spec.Call) (place, spec.Load, error) {
	lease := gpu.Lease(o.s.leases.Add(1))
	m := gpu.Admit{
		Lease: lease, Instance: target.Instance, Deployment: call.Deployment, Version: call.Version,
		PromptTokens: max(call.PromptTokens-call.CachedTokens, 1), Streamed: call.Stream, Adapter: call.Adapter,
		Kept: call.Lease, Waits: call.Waiting(target.Instance),
	}
	lane, now := o.s.lanes.Of(target.Instance), time.Now()
	if a, ok := lane.Admit(target.Device, &m, now); ok {
		return place{a.Engine, lease, device, lane, now}, a.Load, nil
	}
	w := admissions.Get()
	sent := m // lest every call be allocated
	sent.Reply = w.reply
	o.s.system.Root.Send(device, &sent)
	w.limit.Reset(admitTimeout)
	select {
	case a := <-w.reply:
		w.limit.Stop()
		admissions.Put(w)
		if a.Rejected != nil {
			return place{}, spec.Load{}, a.Rejected
		}
		return place{a.Engine, lease, device, o.s.lanes.Of(target.Instance), time.Now()}, a.Load, nil
	case <-ctx.Done():
		o.s.system.Root.Send(device, &gpu.Release{Lease: lease})
		return place{}, spec.Load{}, ctx.Err()
	case <-w.limit.C:
		o.s.system.Root.Send(device, &gpu.Release{Lease: lease})
		return place{}, spec.Load{}, &spec.Rejection{Reason: spec.RejectUnhealthy}
	}
}

// request asks the engine and returns its answer, whatever its status.
func (o opener) request(ctx context.Context, p place, load spec.Load, target spec.Target, call *spec.Call, body []byte) (spec.Stream, error) {
	x := &stream{s: o.s, place: p, instance: target.Instance, request: call.RequestID, stream: call.Stream, due: call.Deadline, used: o.s.crier.begin(target.Instance, p.engine)}
	x.sharing(p.engine, call)
	x.work.Begin(ctx, call.Deadline)
	ctx, x.span = o.s.span(&x.work, "engine.request", target, call, trace.SpanKindClient)
	x.mu.load = load
	if !o.s.streams.add(x) {
		x.finish(resultGone, errShutdown, time.Time{})
		return nil, &spec.Rejection{Reason: spec.RejectDraining}
	}
	if x.tenants.Hides(call.Path) {
		x.answer(engine.Unspoken()) //nolint:bodyclose // the stream closes it
		return x, nil
	}
	resp, err := p.engine.Do(ctx, call.Path, headOf(call, o.s.parent(ctx, call)), body) //nolint:bodyclose // the stream closes it
	if err != nil {
		return nil, x.failed(ctx, err)
	}
	if x.tenants != nil && !engine.Tells(call.Path, resp.Header) {
		x.tenants = nil
	}
	x.answer(resp)
	return x, nil
}

// failed ends a request that the engine did not answer.
func (x *stream) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil { // the caller's doing, or its deadline's, or a shutdown's
		x.finish(resultGone, err, time.Time{})
		return errors.Join(ctx.Err(), err)
	}
	x.finish(resultFailed, err, time.Time{})
	if neverSent(err) { // whoever asks may wait until the engine has been started again
		return &spec.Rejection{Reason: spec.RejectUnhealthy}
	}
	failed := spec.Error{Code: spec.CodeUpstream, Message: "The engine failed before it answered.", Err: fmt.Errorf("instance %s: %w", x.instance, err)}
	if public := (*spec.Error)(nil); errors.As(err, &public) {
		failed = *public
	}
	if hungUp(err) {
		failed.Err = fmt.Errorf("%w: %w", spec.ErrBroken, err)
	}
	return &failed
}

// hungUp tells whether the engine had the request and ended the connection: the request may be what it died of.
func hungUp(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// neverSent tells whether the engine had no part of the request, so that it cannot be
// what the engine failed of: nobody listened, or it was known to have ended.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.Is(err, engine.ErrEnded) || errors.As(err, &op) && op.Op == "dial" && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT))
}

// headOf is what the engine is told of the call.
func headOf(call *spec.Call, traced string) engine.Head {
	h := engine.Head{Method: call.Method, ContentType: call.ContentType, RequestID: call.RequestID, TraceParent: traced, CacheSalt: saltOf(call.Tenant),
		Adapter: call.Adapter, Stream: call.Stream, TokenCounts: call.Gateway == batch.Gateway}
	if call.HeadLength > 0 {
		h.HeadLength = strconv.Itoa(call.HeadLength)
	}
	return h
}

// salted is the salt that was asked for last: most nodes serve few tenants at a time.
var salted atomic.Pointer[[2]string]

// saltOf is the tenant's spec.CacheSalt.
func saltOf(tenant string) string {
	if s := salted.Load(); s != nil && s[0] == tenant {
		return s[1]
	}
	s := &[2]string{tenant, spec.CacheSalt(tenant)}
	salted.Store(s)
	return s[1]
}
