package gateway

import (
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/auth"
)

// HeaderRequestID is on every answer; a sane one of the client's is kept.
const HeaderRequestID = "X-Request-Id"

// A request is what the gateway knows of one request, under way.
type request struct {
	g   *Gateway
	ctx *fasthttp.RequestCtx
	id  string
	who *auth.Principal

	came time.Time // when who asks was looked up

	form    []byte // an admin operation's body, once it is decoded
	counts  []byte // what of that tells the write from others
	write   string // id of the request as a write, once it is made
	command int    // how many commands it has written
	decided uint64 // index of the state by which it was let in
	try     int    // how often it has been begun anew
	held    int    // of the room for bodies
	holder  string // for whom
	merges  bool   // what it writes is a change to what it has read, and may be made to something newer
}

// underWay is the key of the user value that is the request.
type underWay struct{}

// requestOf is the request that greet has begun.
func requestOf(ctx *fasthttp.RequestCtx) *request {
	r, _ := ctx.UserValue(underWay{}).(*request)
	return r
}

// An operation answers a request; its error becomes the answer.
type operation func(r *request) error

// handle is the server's handler: whatever happens below it, there is an answer.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx) {
	busy(ctx.Conn(), true)
	id := g.greet(ctx).id
	defer func() {
		if p := recover(); p != nil {
			g.cfg.Log.Error("panic while serving a request", slog.String("request_id", id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			writeError(ctx, spec.Errorf(spec.CodeInternal, "The gateway failed to serve the request."), id)
		}
	}()
	if g.work.Err() != nil { // it came in while the last connections were being closed
		ctx.SetConnectionClose()
		writeError(ctx, spec.Errorf(spec.CodeDraining, "This gateway is shutting down."), id)
		return
	}
	if e := unreadable(ctx); e != nil {
		writeError(ctx, e, id)
		return
	}
	if !g.cors(ctx) {
		g.router.Handler(ctx)
	}
	compress(ctx)
	g.hold(ctx)
}

// greet begins a request, and sets what is on every answer.
func (g *Gateway) greet(ctx *fasthttp.RequestCtx) *request {
	r := &request{g: g, ctx: ctx, id: requestID(ctx)}
	ctx.SetUserValue(underWay{}, r)
	ctx.Response.Header.SetCanonical(fieldRequestID, []byte(r.id))
	ctx.Response.Header.SetCanonical(fieldGateway, []byte(g.cfg.Self))
	errorsOf(ctx).mark(ctx)
	if g.draining.Load() {
		ctx.SetConnectionClose()
	}
	return r
}

// open serves without a key.
func (g *Gateway) open(op operation) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		r := requestOf(ctx)
		defer r.give()
		if err := op(r); err != nil {
			r.fail(err)
		}
	}
}

// known serves those whose key or access token is good.
func (g *Gateway) known(op operation) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		r := requestOf(ctx)
		defer func() { r.give() }()
		err := r.attempt(op)
		for r.mayBegin(err) {
			r = &request{g: g, ctx: ctx, id: r.id, form: r.form, try: r.try + 1, held: r.held, holder: r.holder}
			err = r.attempt(op)
		}
		if err != nil {
			r.fail(err)
		}
	}
}

func (r *request) attempt(op operation) error {
	r.decided = r.g.seen.Load() // before anything is looked up
	if err := r.identify(); err != nil {
		return err
	}
	return op(r)
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
