package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// invalid is an invalid_request error with every problem found.
type invalid struct {
	problems []openai.Problem
}

func (e *invalid) Error() string { return "invalid request" }

// fail answers with err.
func (r *request) fail(err error) {
	if errors.Is(err, relay.ErrGone) {
		r.ctx.SetConnectionClose()
		r.tell(spec.Errorf(spec.CodeClientGone, "The client closed its side of the connection before the answer was there."))
		return
	}
	if spec.CodeOf(err) == spec.CodeInternal {
		var bad *invalid
		if !errors.As(err, &bad) {
			r.g.cfg.Log.Error("request failed", slog.String("request_id", r.id), slog.String("path", string(r.ctx.Path())), slog.Any("error", err))
		}
	}
	r.tell(err)
}

// headerRetryAfterMS is Retry-After more exactly, which OpenAI's clients look for first.
const headerRetryAfterMS = "Retry-After-Ms"

// tell sets err as the answer. What is no *spec.Error is told as internal,
// without its text.
func (r *request) tell(err error) {
	ctx := r.ctx
	e, problems := public(err)
	status := e.Code.Lookup().Status
	body := r.head.tells.appendError(make([]byte, 0, 512), e, r.id, problems)
	if ctx.Response.IsBodyStream() {
		_ = ctx.Response.CloseBodyStream()
	}
	ctx.SetStatusCode(status)
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBodyRaw(body)
	if status == fasthttp.StatusUnauthorized {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="lotabots"`)
	}
	if over := (*limited)(nil); errors.As(err, &over) {
		over.tell(&ctx.Response.Header)
	}
	if wait := retryAfter(err, e.Code); wait > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		ctx.Response.Header.Set(headerRetryAfterMS, itoa(wait.Milliseconds()))
	}
}

func public(err error) (*spec.Error, []openai.Problem) {
	var bad *invalid
	var e *spec.Error
	switch {
	case errors.As(err, &bad):
		first := bad.problems[0]
		message := first.Param + " " + first.Message
		if n := len(bad.problems); n > 1 {
			message += "; " + strconv.Itoa(n-1) + " more in errors"
		}
		return &spec.Error{Code: spec.CodeInvalidRequest, Message: message + ".", Param: first.Param}, bad.problems
	case errors.As(err, &e):
		return e, nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return spec.Errorf(spec.CodeDeadline, "The operation did not end in time."), nil
	default:
		return spec.Errorf(spec.CodeInternal, "The server failed to serve the request."), nil
	}
}

func retryAfter(err error, code spec.Code) time.Duration {
	var refusal *balance.Refusal
	var limited *limited
	switch {
	case errors.As(err, &refusal):
		return refusal.RetryAfter
	case errors.As(err, &limited):
		return max(limited.after, time.Millisecond)
	case code == spec.CodeBusy || code == spec.CodeNoLeader || code == spec.CodeDraining || code == spec.CodeStaleState || code == spec.CodeOutcomeUnknown:
		return time.Second
	default:
		return 0
	}
}

// limited is a refusal under a limit.
type limited struct {
	after  time.Duration
	budget bool // that of a day or a month: clients' libraries need not try again
	err    *spec.Error
}

func (e *limited) tell(h *fasthttp.ResponseHeader) {
	if e.budget {
		h.Set(headerShouldRetry, "false")
	}
}

func (e *limited) Error() string { return e.err.Error() }
func (e *limited) Unwrap() error { return e.err }

// badRequest answers what fasthttp could not read.
func (g *Gateway) badRequest(ctx *fasthttp.RequestCtx, err error) {
	r := &request{g: g, ctx: ctx}
	r.id = r.name()
	ctx.Response.Header.Set(HeaderRequestID, r.id)
	ctx.Response.Header.Set("X-LotaBots-Gateway", string(g.cfg.Self))
	form, ok := errorsAt([]byte(pathOf(err)))
	if !ok {
		form = r.errorForm()
	}
	r.head.tells = form
	form.mark(ctx)
	hangUp(ctx)
	e := g.unread(err)
	if e.Code == spec.CodeRequestTimeout {
		g.crowd.senders.Inc()
	} else {
		g.metrics.malformed.Inc()
	}
	r.tell(e)
}

// unread is why a request could not be read.
func (g *Gateway) unread(err error) *spec.Error {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		return spec.Errorf(spec.CodeHeadersTooLarge, "The request's headers are larger than %d KB.", headSize>>10)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return spec.Errorf(spec.CodeRequestTimeout, "The request's headers, and the first %d KB of its body, did not arrive within %v.", prefetch>>11, g.cfg.ReadTimeout)
	}
	return malformed(err, g.cfg.MaxBody)
}

// quiet passes the server's own lines on at debug: they tell of clients, not of us.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http server", "format", format, "args", args)
}
