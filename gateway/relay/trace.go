package relay

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func noEnd(error) {}

// span starts a child of the request's span; what it returns ends it.
func (r *Relay) span(x *Exchange, name string) func(error) {
	if r.cfg.Tracer == nil {
		return noEnd
	}
	_, s := r.cfg.Tracer.Start(x.Context, name)
	return ender(s)
}

// openSpan covers one attempt, whose server continues the trace from it.
func (r *Relay) openSpan(x *Exchange) func(error) {
	if r.cfg.Tracer == nil {
		return noEnd
	}
	ctx, s := r.cfg.Tracer.Start(x.Context, "gateway.open", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("lotabots.node", string(x.grant.Node)),
			attribute.String("lotabots.instance", string(x.grant.Target.Instance)),
			attribute.Int("lotabots.attempt", x.out.Attempts)))
	x.Call.TraceParent = TraceParent(ctx)
	return ender(s)
}

func ender(s trace.Span) func(error) {
	return func(err error) {
		if err != nil {
			s.SetStatus(codes.Error, err.Error())
		}
		s.End()
	}
}

// TraceParent is the W3C header of the span in ctx, or empty.
func TraceParent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c["traceparent"]
}
