package gateway

import (
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/openai"
)

// HeaderRequestID is on every answer; a sane one of the client's is kept.
const HeaderRequestID = "X-Request-Id"

// A request is what the gateway knows of one request, under way.
type request struct {
	g   *Gateway
	ctx *fasthttp.RequestCtx
	id  string
	who *auth.Principal

	form []byte // an admin operation's body, once it is decoded
}

// An operation answers a request; its error becomes the answer.
type operation func(r *request) error

func (g *Gateway) routes() *router.Router {
	m := router.New()
	m.RedirectTrailingSlash, m.RedirectFixedPath = false, false
	m.NotFound = g.open(func(r *request) error {
		return &spec.Error{Code: spec.CodeNotFound, Message: "There is nothing at " + clip(string(r.ctx.URI().PathOriginal()), 100) + ".", Hint: "See /openapi.json for what is served."}
	})
	m.MethodNotAllowed = g.open(func(r *request) error {
		return spec.Errorf(spec.CodeMethodNotAllowed, "%s is not for %s.", clip(string(r.ctx.Path()), 100), clip(string(r.ctx.Method()), 20))
	})
	m.GlobalOPTIONS = g.open(func(r *request) error {
		r.ctx.SetStatusCode(fasthttp.StatusNoContent)
		return nil
	})
	m.POST("/v1/chat/completions", g.scoped(auth.Infer, inference(openai.Chat)))
	m.POST("/v1/completions", g.scoped(auth.Infer, inference(openai.Completions)))
	m.POST("/v1/embeddings", g.scoped(auth.Infer, inference(openai.Embeddings)))
	get := func(path string, h fasthttp.RequestHandler) { m.GET(path, h); m.HEAD(path, h) }
	get("/v1/models", g.scoped(auth.Infer, listVisible))
	get("/v1/models/{id:*}", g.scoped(auth.Infer, showVisible))
	get("/healthz", g.open(healthz))
	get("/readyz", g.open(readyz))
	get("/metrics", g.open(showMetrics(g.cfg.Gatherer)))
	get("/openapi.json", g.open(showSpec))
	g.adminRoutes(m, get)
	return m
}

func (g *Gateway) adminRoutes(m *router.Router, get func(string, fasthttp.RequestHandler)) {
	const at = "/admin/v1"
	admin := func(op operation) fasthttp.RequestHandler { return g.scoped(auth.Admin, g.admin(op)) }
	get(at+"/status", g.scoped(auth.Admin, g.told(status)))
	get(at+"/state", g.scoped(auth.Admin, g.told(showState)))
	m.GET(at+"/backup", admin(createBackup))
	get(at+"/nodes", admin(listNodes))
	m.POST(at+"/nodes/{id}/drain", admin(drainNode))
	m.POST(at+"/nodes/{id}/resume", admin(resumeNode))
	m.POST(at+"/nodes/{id}/reload", admin(reloadNode))
	m.DELETE(at+"/nodes/{id}", admin(removeNode))
	m.POST(at+"/leadership/transfer", admin(transferLeadership))
	get(at+"/models", admin(listModels))
	m.PUT(at+"/models/{name}", admin(importModel))
	m.DELETE(at+"/models/{name}", admin(removeModel))
	get(at+"/deployments", admin(listDeployments))
	m.PUT(at+"/deployments/{name}", admin(putDeployment))
	m.DELETE(at+"/deployments/{name}", admin(removeDeployment))
	get(at+"/placements", admin(listPlacements))
	get(at+"/tenants", admin(listTenants))
	m.PUT(at+"/tenants/{name}", admin(putTenant))
	get(at+"/settings", admin(listSettings))
	m.PUT(at+"/settings/{name}", admin(putSetting))
	get(at+"/keys", admin(listKeys))
	m.POST(at+"/keys", admin(createKey))
	m.DELETE(at+"/keys/{id}", admin(revokeKey))
	m.POST(at+"/tokens", admin(createToken))
}

// handle is the server's handler: whatever happens below it, there is an answer.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(HeaderRequestID, requestID(ctx))
	ctx.Response.Header.Set("X-LotaBots-Gateway", string(g.cfg.Self))
	if g.draining.Load() {
		ctx.SetConnectionClose()
	}
	defer func() {
		if p := recover(); p != nil {
			id := string(ctx.Response.Header.Peek(HeaderRequestID))
			g.cfg.Log.Error("panic while serving a request", slog.String("request_id", id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			writeError(ctx, spec.Errorf(spec.CodeInternal, "The gateway failed to serve the request."), id)
		}
	}()
	if g.work.Err() != nil { // it came in while the last connections were being closed
		ctx.SetConnectionClose()
		writeError(ctx, spec.Errorf(spec.CodeDraining, "This gateway is shutting down."), string(ctx.Response.Header.Peek(HeaderRequestID)))
		return
	}
	g.router.Handler(ctx)
}

// open serves without a key.
func (g *Gateway) open(op operation) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		r := request{g: g, ctx: ctx, id: string(ctx.Response.Header.Peek(HeaderRequestID))}
		if err := op(&r); err != nil {
			r.fail(err)
		}
	}
}

// scoped serves those whose key has the scope.
func (g *Gateway) scoped(s auth.Scope, op operation) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		r := &request{g: g, ctx: ctx, id: string(ctx.Response.Header.Peek(HeaderRequestID))}
		err := r.identify(s)
		if err == nil {
			err = op(r)
		}
		if err != nil {
			r.fail(err)
		}
	}
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
