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
	head    head
	merges  bool // what it writes is a change to what it has read, and may be made to something newer
}

// A head is what is known of a request before anybody knows who sends it.
type head struct {
	lacks   fieldSet  // fields that it does not have
	tells   errorForm // how its errors are told
	judging bool      // it is looked at by its head alone, and
	welcome bool      // its body is to be sent
	paid    *bill     // it was counted against its key's limit when it was looked at; else nil
}

// underWay is the key of the user value that is the request.
type underWay struct{}

// requestOf is the request that greet has begun; nil: none.
func requestOf(ctx *fasthttp.RequestCtx) *request {
	r, _ := ctx.UserValue(underWay{}).(*request)
	return r
}

// An operation answers a request; its error becomes the answer.
type operation func(r *request) error

// handle is the server's handler: whatever happens below it, there is an answer.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx) {
	busy(ctx.Conn(), true)
	r := g.greet(ctx)
	defer func() {
		if p := recover(); p != nil {
			g.cfg.Log.Error("panic while serving a request", slog.String("request_id", r.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			r.tell(spec.Errorf(spec.CodeInternal, "The gateway failed to serve the request."))
		}
	}()
	if g.work.Err() != nil { // it came in while the last connections were being closed
		ctx.SetConnectionClose()
		r.tell(spec.Errorf(spec.CodeDraining, "This gateway is shutting down."))
		return
	}
	if e := r.unreadable(); e != nil {
		r.tell(e)
		return
	}
	if !g.cors(ctx) {
		g.router.Handler(ctx)
	}
	r.compress()
	g.hold(ctx)
}

// greet begins a request, and sets what is on every answer.
func (g *Gateway) greet(ctx *fasthttp.RequestCtx) *request {
	r := &request{g: g, ctx: ctx}
	if judged := requestOf(ctx); judged != nil {
		r.head.paid = judged.head.paid
	}
	r.head.lacks = lackedBy(&ctx.Request.Header)
	r.id, r.head.tells = r.name(), r.errorForm()
	ctx.SetUserValue(underWay{}, r)
	ctx.Response.Header.SetCanonical(nameRequestID, []byte(r.id))
	ctx.Response.Header.SetCanonical(nameGateway, []byte(g.cfg.Self))
	r.head.tells.mark(ctx)
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
			r = &request{g: g, ctx: ctx, id: r.id, form: r.form, try: r.try + 1, held: r.held, holder: r.holder, head: r.head}
			ctx.SetUserValue(underWay{}, r)
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
