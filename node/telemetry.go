package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/lotabots/lotabots/node/config"
)

// newLogger writes to w as the configuration says, but for the level, which may
// change; every line names the node.
func newLogger(w io.Writer, c config.Config, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if c.Log.Format == "text" {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(handler).With("node", c.Node.ID)
}

// startTracing makes W3C trace context the process's propagation and, where an
// OTLP endpoint is configured, sends spans there. The returned function flushes.
func startTracing(ctx context.Context, c config.Config, version string, root sdktrace.Sampler) (func(context.Context) error, error) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	if c.Telemetry.OTLP == "" {
		return func(context.Context) error { return nil }, nil
	}
	endpoint := strings.TrimSuffix(c.Telemetry.OTLP, "/")
	if !strings.HasSuffix(endpoint, "/v1/traces") {
		endpoint += "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("telemetry.otlp = %q: %w", c.Telemetry.OTLP, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(root)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "lotabots"),
			attribute.String("service.version", version),
			attribute.String("service.instance.id", c.Node.ID),
			attribute.String("cloud.region", c.Node.Region),
		)),
	)
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// share samples a share of the traces that no caller has decided about. The
// share may change.
type share struct {
	now atomic.Pointer[sdktrace.Sampler]
}

func (s *share) set(ratio float64) {
	sampler := sdktrace.TraceIDRatioBased(ratio)
	s.now.Store(&sampler)
}

func (s *share) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return (*s.now.Load()).ShouldSample(p)
}

func (s *share) Description() string { return (*s.now.Load()).Description() }
