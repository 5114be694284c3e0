package gateway

import (
	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
)

// An Operation is one thing that clients can ask for. The routes are made from
// the list of all, and so is the test of who may do what.
type Operation struct {
	Method string
	Path   string
	ID     string      // operationId in the description
	Verb   access.Verb // that it takes; empty: none
	Own    access.Verb // that suffices where the thing is the caller's own
	Open   bool        // takes no credential, but where serve asks for one

	self   bool                    // a session's user needs no verb for what is its own
	on     func(r *request) target // what it is done to; nil: serve looks at each thing by itself
	from   source
	errors errorForm // how they are told
	plain  bool      // GET comes without HEAD
	query  string    // parameters that a list takes, besides consistency
	serve  operation
}

// A source is the state that an operation's answer is made from.
type source uint8

const (
	stateless source = iota
	fromState        // this node's copy, unless it is known to be wrong
	fromAny          // this node's copy, wrong or not
)

// routes makes the router from the operations.
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
	for _, op := range g.Operations() {
		m.Handle(op.Method, op.Path, g.handler(&op))
		if op.Method == fasthttp.MethodGet && !op.plain {
			m.Handle(fasthttp.MethodHead, op.Path, g.handler(&op))
		}
	}
	return m
}

// handler serves one operation: who asks, from which state, whether they may. The
// state comes before the question, so that who was given something just now may
// use it at once, by the index that the answer told.
func (g *Gateway) handler(op *Operation) fasthttp.RequestHandler {
	if op.errors != openaiErrors {
		plain := *op
		plain.errors = openaiErrors
		return op.errors.before(g.handler(&plain))
	}
	if op.Open {
		return g.open(judged(op.serve))
	}
	serve := op.serve
	if op.Verb != "" {
		serve = func(r *request) error {
			if err := r.authorise(op); err != nil {
				return err
			}
			if err := r.queried(op.query); err != nil {
				return err
			}
			if err := r.paced(op); err != nil {
				return err
			}
			return op.serve(r)
		}
	}
	switch op.from {
	case fromState:
		serve = g.admin(serve)
	case fromAny:
		serve = g.told(serve)
	}
	return g.known(judged(serve))
}
