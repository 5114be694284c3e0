package actors

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/cluster/spec"
)

const traceParent = "traceparent"

// continued is ctx with the caller's span as parent, where the call names one.
func continued(ctx context.Context, call *spec.Call) context.Context {
	if call.TraceParent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: call.TraceParent})
}

// span starts a child of ctx's span about one call.
func span(ctx context.Context, name string, target spec.Target, call *spec.Call, kind trace.SpanKind) (context.Context, trace.Span) {
	return otel.Tracer("lotabots/actors").Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(
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
