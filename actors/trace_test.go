package actors

import (
	"context"
	"io"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestTrace: admission and engine hang on the caller's span, and the engine is told
// of the trace.
func TestTrace(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	defer otel.SetTracerProvider(before)
	defer func() { _ = provider.Shutdown(context.Background()) }()
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	c := call("/whole", false)
	c.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	raw, err := io.ReadAll(mustOpen(t, n, n.loadStub(t, e, "i", 2, 1), c))
	if err != nil {
		t.Fatal(err)
	}
	spans := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range recorder.Ended() {
		spans[s.Name()] = s
	}
	for _, name := range []string{"actor.admit", "engine.request"} {
		s := spans[name]
		if s == nil {
			t.Fatalf("no span %s among %v", name, spans)
		}
		if s.SpanContext().TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || s.Parent().SpanID().String() != "00f067aa0ba902b7" {
			t.Errorf("%s hangs on %v", name, s.Parent())
		}
	}
	if want := spans["engine.request"].SpanContext().SpanID().String(); !strings.Contains(string(raw), want) {
		t.Errorf("the engine was not told of span %s: %s", want, raw)
	}
}
