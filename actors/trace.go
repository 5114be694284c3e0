package actors

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lotabots/lotabots/cluster/spec"
)

const traceParent = "traceparent"

// continued is ctx with the caller's span as parent, where the call names one.
func (s *System) continued(ctx context.Context, call *spec.Call) context.Context {
	if call.TraceParent == "" || s.tracer == nil {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: call.TraceParent})
}

// newTracer is nil where the process has no tracing set up, so that requests are
// spared its cost.
func newTracer() trace.Tracer {
	t := otel.Tracer("lotabots/actors")
	_, span := t.Start(context.Background(), "actors.start")
	defer span.End()
	if !span.SpanContext().IsValid() {
		return nil
	}
	return t
}

// untraced stands in for the spans of who traces nothing.
var untraced trace.Span = noop.Span{}

// span starts a child of ctx's span about one call.
func (s *System) span(ctx context.Context, name string, target spec.Target, call *spec.Call, kind trace.SpanKind) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, untraced
	}
	return s.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(
		attribute.String("lotabots.request_id", call.RequestID),
		attribute.String("lotabots.device", string(target.Device)),
		attribute.String("lotabots.instance", string(target.Instance)),
		attribute.Int("lotabots.attempt", call.Attempt)))
}

func endSpan(s trace.Span, err error) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
	}
	s.End()
}

// parent is the W3C header that the engine gets, or "".
func (s *System) parent(ctx context.Context, call *spec.Call) string {
	if s.tracer == nil {
		return call.TraceParent
	}
	return parentOf(ctx)
}

// parentOf is the W3C header of ctx's span, or "".
func parentOf(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[traceParent]
}

func traceHeaders(ctx context.Context) map[string]string {
	if p := parentOf(ctx); p != "" {
		return map[string]string{traceParent: p}
	}
	return nil
}
