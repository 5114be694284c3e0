package infer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Config is what a Handler is given beside its Opener.
type Config struct {
	// Quota answers a share of a limit that this node owns; nil: none is given.
	Quota func(ctx context.Context, peer spec.NodeID, q *wire.QuotaRequest) (*wire.QuotaGrant, error)
	// Peer tells whose certificate the request came with. It replaces what the
	// call says of its gateway. nil: the call is believed (tests alone).
	Peer func(*http.Request) (spec.NodeID, bool)
	// May tells why the peer may not ask for inference; nil: everybody may.
	May func(*http.Request) error

	// Reserve takes what waits at a gateway for an instance of a device of this node's, and
	// must not block. Lines are the ways to those gateways. Nil: nobody is granted places.
	Reserve func(device spec.DeviceID, r spec.Reservation)
	Lines   *Lines

	MaxBody    int64 // bytes; 0: 64 MiB
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	defaultMaxBody = 64 << 20
	chunkSize      = 32 << 10
)

var chunks = pool.New("call-chunks", func() *[]byte { b := make([]byte, chunkSize); return &b })

type server struct {
	opener  spec.Opener
	cfg     Config
	metrics *serverMetrics
}

// Handler serves o to the gateways of other nodes, on /infer, /infer/quota,
// /infer/line and /infer/alive. A nil o is a node without devices, which answers about quotas alone.
func Handler(o spec.Opener, c Config) http.Handler {
	if c.MaxBody <= 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{opener: o, cfg: c, metrics: newServerMetrics(c.Registerer)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /infer", s.infer)
	mux.HandleFunc("POST /infer/quota", s.quota)
	mux.HandleFunc("POST /infer/line", s.line)
	mux.HandleFunc("GET /infer/alive", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// admit names the peer, or answers that it may not ask.
func (s *server) admit(w http.ResponseWriter, r *http.Request) (spec.NodeID, bool) {
	var peer spec.NodeID
	if s.cfg.Peer != nil {
		id, ok := s.cfg.Peer(r)
		if !ok {
			s.fail(w, spec.Errorf(spec.CodeForbidden, "The connection has no node's certificate."))
			return "", false
		}
		peer = id
	}
	if s.cfg.May != nil {
		if err := s.cfg.May(r); err != nil {
			var public *spec.Error
			if !errors.As(err, &public) {
				err = &spec.Error{Code: spec.CodeForbidden, Message: "Node " + string(peer) + " may not ask for inference: " + err.Error() + ".", Err: err}
			}
			s.fail(w, err)
			return "", false
		}
	}
	return peer, true
}

func (s *server) infer(w http.ResponseWriter, r *http.Request) {
	peer, ok := s.admit(w, r)
	if !ok {
		return
	}
	if s.opener == nil {
		s.fail(w, &spec.Rejection{Reason: spec.RejectNotLoaded})
		return
	}
	target, call, body, err := s.read(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	if s.cfg.Peer != nil {
		call.Gateway = peer
	}
	ctx, cancel := withDeadline(r.Context(), r.Header.Get(hdrRemaining), &call)
	defer cancel()
	ctx, span := startSpan(ctx, target, &call)
	defer span.End()
	s.metrics.running.Inc()
	defer s.metrics.running.Dec()

	began := time.Now()
	result, err := s.serve(ctx, w, target, call, body)
	s.metrics.requests.WithLabelValues(result).Inc()
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	level := slog.LevelDebug
	if err != nil && result != "rejected" && result != "gone" {
		level = slog.LevelWarn
	}
	s.cfg.Log.Log(r.Context(), level, "inference for another node", "request_id", call.RequestID, "gateway", call.Gateway,
		"instance", target.Instance, "attempt", call.Attempt, "result", result, "took", time.Since(began), "error", err)
}

// read takes the call and the body, both bounded, from the request.
func (s *server) read(r *http.Request) (spec.Target, spec.Call, []byte, error) {
	none := func(err error) (spec.Target, spec.Call, []byte, error) { return spec.Target{}, spec.Call{}, nil, err }
	if r.ContentLength < 0 {
		return none(spec.Errorf(spec.CodeInvalidRequest, "The request does not say how long it is."))
	}
	w, took, err := readCall(r.Body)
	if err != nil {
		return none(&spec.Error{Code: spec.CodeInvalidRequest, Message: "The call could not be read: " + err.Error() + ".", Err: err})
	}
	n := r.ContentLength - took
	if n > s.cfg.MaxBody {
		return none(spec.Errorf(spec.CodeBodyTooLarge, "The body takes %d bytes; this node accepts %d.", n, s.cfg.MaxBody))
	}
	if n < 0 {
		return none(spec.Errorf(spec.CodeInvalidRequest, "The request is shorter than its call."))
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return none(&spec.Error{Code: spec.CodeInvalidRequest, Message: "The body ended early.", Err: err})
	}
	target, call := callFromWire(w)
	return target, call, body, nil
}

// withDeadline bounds ctx by what the gateway said remains. Clocks of two nodes
// differ, so the remainder counts and the absolute time only stands in for it.
func withDeadline(ctx context.Context, remaining string, call *spec.Call) (context.Context, context.CancelFunc) {
	if ms, err := strconv.ParseInt(remaining, 10, 64); err == nil && ms >= 0 && ms < int64(time.Duration(1<<62)/time.Millisecond) {
		call.Deadline = time.Now().Add(time.Duration(ms) * time.Millisecond)
	}
	if call.Deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, call.Deadline)
}

// startSpan continues the gateway's trace and makes the span what follows continues.
func startSpan(ctx context.Context, target spec.Target, call *spec.Call) (context.Context, trace.Span) {
	var w3c propagation.TraceContext
	if call.TraceParent != "" {
		ctx = w3c.Extract(ctx, propagation.MapCarrier{"traceparent": call.TraceParent})
	}
	ctx, span := otel.Tracer("lotabots/infer").Start(ctx, "infer.serve", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("lotabots.request_id", call.RequestID),
			attribute.String("lotabots.gateway", string(call.Gateway)),
			attribute.String("lotabots.instance", string(target.Instance)),
			attribute.Int("lotabots.attempt", call.Attempt)))
	if span.SpanContext().IsValid() {
		out := propagation.MapCarrier{}
		w3c.Inject(ctx, out)
		call.TraceParent = out["traceparent"]
	}
	return ctx, span
}

// serve opens the call here and passes the answer on as it comes.
func (s *server) serve(ctx context.Context, w http.ResponseWriter, target spec.Target, call spec.Call, body []byte) (string, error) {
	stream, err := s.opener.Open(ctx, target, call, body)
	if err != nil {
		result := s.fail(w, deadlineError(ctx, err))
		if gone(ctx) {
			result = "gone"
		}
		return result, err
	}
	defer stream.Close()
	// A read that waits for the engine must end with the client's interest.
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()

	h := w.Header()
	h.Set(hdrKind, kindStream)
	h.Set(hdrStatus, strconv.Itoa(stream.Status()))
	h.Set("Content-Type", stream.ContentType())
	if headed, ok := stream.(spec.Headed); ok && headed.HeadLength() > 0 {
		h.Set(spec.HeadLengthHeader, strconv.Itoa(headed.HeadLength()))
	}
	setHeld(h, stream)
	setHides(h, stream)
	setCached(h, stream)
	h.Set("Trailer", hdrEnd+", "+hdrLoad+", "+hdrCause)
	if l, ok := stream.Load(); ok {
		h.Set(hdrLoad, loadText(l))
	}
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	if err := flush.Flush(); err != nil {
		return "gone", err
	}
	err = pass(w, flush, stream)
	h.Del(hdrLoad) // from here on the header map holds trailers
	if l, ok := stream.Load(); ok {
		h.Set(hdrLoad, loadText(l))
	}
	if err != nil && gone(ctx) {
		return "gone", err
	}
	if err != nil {
		h.Set(hdrCause, headerText(deadlineError(ctx, err).Error()))
		if errors.Is(err, spec.ErrBehind) {
			h.Set(hdrEnd, endBehind)
		}
		return "broken", err
	}
	h.Set(hdrEnd, "1")
	return "ok", nil
}

// pass writes each piece that the engine gives at once.
func pass(w io.Writer, flush *http.ResponseController, stream io.Reader) error {
	buf := chunks.Get()
	defer chunks.Put(buf)
	for {
		n, err := stream.Read(*buf)
		if n > 0 {
			if _, werr := w.Write((*buf)[:n]); werr != nil {
				return werr
			}
			if werr := flush.Flush(); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// gone tells whether the gateway has left: net/http cancels its request's context.
func gone(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// deadlineError is err, or the deadline that caused it.
func deadlineError(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	var refused *spec.Rejection
	if errors.As(err, &refused) {
		return err
	}
	return &spec.Error{Code: spec.CodeDeadline, Message: "The request's deadline passed on the serving node.", Err: err}
}
