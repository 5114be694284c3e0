package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/openai"
	"github.com/lotabots/lotabots/gateway/relay"
)

// An inferring is one inference request. The relay may hold it after the
// handler has returned, until Done.
type inferring struct {
	relay.Exchange
	matter
	ended  func(*relay.Outcome)       // done
	booked func(*relay.Outcome) error // settle
	record *wire.UsageRecord          // nil: none was made yet
}

// A matter is what the gateway alone knows of it.
type matter struct {
	g        *Gateway
	endpoint openai.Endpoint
	dialect  *dialect // nil: the client speaks as engines do
	spoken   bool     // the body is the dialect's translation
	sent     framing
	path     func(*deployment) string // at the engine; nil: the endpoint's
	who      *auth.Principal
	began    time.Time
	span     trace.Span
	traced   string  // the client's traceparent
	at       string  // path that the client asked at
	devices  uint64  // of an instance
	settled  bool    // its usage is written down
	held     int     // of the room for bodies
	share    portion // of it, for the answer
	bill     bill
}

// inferrings are used again where nobody can know of them any more.
var inferrings = pool.New("request-exchanges", newInferring)

func newInferring() *inferring {
	x := new(inferring)
	x.ended, x.booked = x.done, x.settle
	return x
}

var checks = pool.New("request-checks", func() *openai.Request { return new(openai.Request) })

// inference serves one of the endpoints.
func inference(e openai.Endpoint) operation {
	return func(r *request) error {
		x := inferrings.Get()
		x.endpoint = e
		err := r.infer(x)
		if err == nil && x.Again() {
			x.matter = matter{}
			inferrings.Put(x)
		}
		return err
	}
}

// translated serves an endpoint to clients who speak otherwise than engines do.
func translated(d *dialect) operation {
	return func(r *request) error {
		x := newInferring()
		x.endpoint, x.dialect = d.endpoint, d
		return x.named(r.infer(x))
	}
}

func (r *request) infer(x *inferring) error {
	if err := r.begin(x); err != nil {
		return err
	}
	x.Done = x.ended
	if r.g.cfg.Usage != nil {
		x.Settle = x.booked
	}
	x.held, r.held = r.held, 0 // its body is the exchange's from here on
	x.share = portion{&r.g.bodies, r.holding()}
	x.Room = &x.share
	err := r.g.relay.Serve(r.ctx, &x.Exchange)
	r.own(x.share.who)
	return err
}

// begin makes x ready to be served, or accounts for its end.
func (r *request) begin(x *inferring) error {
	x.g, x.who, x.began, x.at = r.g, r.who, r.came, x.endpoint.Path()
	if path := r.ctx.Path(); string(path) != x.at { // as it is mostly
		x.at = string(path)
	}
	x.Came = x.began
	r.g.metrics.active.Inc()
	x.startSpan(r)
	err := x.checked(r)
	if err != nil {
		x.refused(err)
	}
	return err
}

// checked is prepare, whose panics are accounted for too.
func (x *inferring) checked(r *request) error {
	defer func() {
		if p := recover(); p != nil {
			x.refused(spec.Errorf(spec.CodeInternal, "panic: %v", p))
			panic(p)
		}
	}()
	check := checks.Get()
	check.Model = check.Model[:0] // what is refused before it is read names none
	err := x.prepare(r, check)
	check.Release()
	checks.Put(check)
	return err
}

// prepare limits, reads, checks and describes the request.
func (x *inferring) prepare(r *request, check *openai.Request) error {
	if err := x.enter(r); err != nil {
		return err
	}
	body, err := r.body()
	if err != nil {
		return err
	}
	defer r.g.heavy.enter(len(body))()
	written := body
	if body, err = x.read(r, check, body); err != nil {
		x.attribute(r, check, written)
		return err
	}
	d, err := r.model(check.Model)
	if err != nil {
		return err
	}
	x.of(r, d)
	if err := r.able(d, x.endpoint, check); err != nil {
		return err
	}
	d, body = x.divert(r, check, d, body)
	d = x.version(r, check, d)
	if body, err = x.fit(r, d, check, body); err != nil {
		return err
	}
	x.Body, x.Conn, x.Topology = body, r.ctx.Conn(), r.who.May(access.TopologyRead, access.In(r.who.Tenant))
	regions, err := r.regions(d)
	if err != nil {
		return err
	}
	x.devices = uint64(max(1, d.GetGpus()))
	x.of(r, d)      // which may be another
	call := &x.Call // filled where it lies, as is the query
	call.Tenant, call.Key, call.Regions, call.Path, call.Gateway = r.who.Tenant, r.credential(), regions, x.endpoint.Path(), r.g.cfg.Self
	call.TraceParent, call.PromptTokens, call.Stream, call.Deadline = x.traced, check.PromptTokens, check.Stream, x.began.Add(r.g.cfg.MaxDuration)
	call.Method, call.ContentType, call.HeadLength = x.sent.method, x.sent.contentType, x.sent.headLength
	if x.path != nil {
		call.Path = x.path(d)
	}
	q := &x.Query
	q.Deployment, q.Version, q.Regions, q.Region = d.GetName(), d.GetVersion(), regions, r.g.cfg.Region
	d.beside(q)
	q.PromptTokens, q.Expected, q.Shared = check.PromptTokens, d.placed > 0, x.endpoint == openai.Embeddings
	if x.endpoint == openai.Rerank && d.GetEngine() == "embedded" { // where nodes of older builds are there, not all of its do
		q.Shared, q.Sharing = true, spec.AbleRanks
	}
	if d.adapter != "" {
		q.Adapter = spec.AdapterMark(d.adapter)
	}
	x.begins(r, check, d)
	if x.Body, err = x.turn(r, check, d, body); err != nil {
		return err
	}
	if err = x.recallable(r, d); err != nil {
		return err
	}
	x.rescue(r, d, check)
	return x.reserve(r, d, check)
}

// of says whose request it is, for the record of one that is refused before it is described.
func (x *inferring) of(r *request, d *deployment) {
	x.Call.RequestID, x.Call.Deployment, x.Call.Version, x.Call.Adapter = r.id, d.GetName(), d.GetVersion(), d.adapter
}

// read checks the body, and returns it as every engine takes it.
func (x *inferring) read(r *request, check *openai.Request, body []byte) ([]byte, error) {
	if x.endpoint.Body() == openai.JSON {
		if err := openai.Bounded(body); err != nil {
			return nil, err
		}
	}
	body, err := x.speak(body)
	if err != nil {
		return nil, err
	}
	if err := x.examine(r, check, body); err != nil {
		return nil, err
	}
	if len(check.Problems) > 0 {
		return nil, &invalid{problems: append([]openai.Problem(nil), check.Problems...)}
	}
	return body, nil
}

// attribute says whose a request is that was refused for its body: it is written down where it
// names a model that the key may use, as far as it can be read.
func (x *inferring) attribute(r *request, check *openai.Request, body []byte) {
	name := check.Model
	if (x.dialect != nil || len(name) == 0) && x.endpoint.Body() == openai.JSON {
		name = openai.ModelOf(body)
	}
	if d := r.g.catalog.find(name); d != nil && r.who.Sees(d.GetTenant()) && r.who.MayUse(d.model(), d.GetTenant()) {
		x.of(r, d)
	}
}

// model finds the deployment that the client named, if the key may use it.
func (r *request) model(name []byte) (*deployment, error) {
	d, err := r.listed(name)
	if err != nil {
		return nil, err
	}
	if r.who.MayUse(d.model(), d.GetTenant()) {
		return d, nil
	}
	if to := (access.Resource{Kind: access.KindModel, Name: d.model(), Tenant: d.GetTenant()}); !r.who.May(access.Infer, to) {
		return nil, r.denied(access.Infer, to)
	}
	return nil, forbidden(d)
}

func forbidden(d *deployment) error {
	return &spec.Error{Code: spec.CodeModelForbidden, Param: "model", Message: "The key may not use the model " + strconv.Quote(d.model()) + "."}
}

// listed finds the deployment that the client named, if the key may know of it.
func (r *request) listed(name []byte) (*deployment, error) {
	d := r.g.catalog.find(name)
	if d == nil || !r.who.Sees(d.GetTenant()) {
		e := &spec.Error{Code: spec.CodeModelNotFound, Param: "model", Message: "There is no model " + strconv.Quote(clip(string(name), 100)) + "."}
		if near := r.g.catalog.near(r.who, string(name)); len(near) > 0 {
			e.Hint = "Did you mean " + strings.Join(near, " or ") + "? " + e.Code.Lookup().Remedy
		}
		return nil, e
	}
	return d, nil
}

// credential names what the request was let in by, for the serving node to look at again.
func (r *request) credential() string {
	if r.who.Session != "" {
		return "session/" + r.who.Session
	}
	return r.who.Key
}

// regions is where the request may be served: where the deployment and the key
// both allow it; empty: anywhere.
func (r *request) regions(d *deployment) ([]string, error) { return regionsOf(r.who, d) }

func regionsOf(who *auth.Principal, d *deployment) ([]string, error) {
	both, ok := bothAllow(who.Regions(), d.GetRegions())
	if !ok {
		return nil, &spec.Error{Code: spec.CodeModelForbidden, Param: "model", Hint: "Use a key for other regions, or have the key's regions changed.",
			Message: "The model is served in " + join(d.GetRegions()) + " alone, and the key's requests may be served in " + join(who.Regions()) + " alone."}
	}
	return both, nil
}

// startSpan continues the client's trace, or begins one.
func (x *inferring) startSpan(r *request) {
	x.Context = context.Background()
	parent := string(r.field(&fieldTraceParent))
	if parent != "" {
		remote := propagation.TraceContext{}.Extract(x.Context, propagation.MapCarrier{"traceparent": parent})
		if trace.SpanContextFromContext(remote).IsValid() {
			x.traced = parent
			x.Context = remote
		}
	}
	if r.g.tracer != nil {
		x.Context, x.span = r.g.tracer.Start(x.Context, "gateway.request", trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("lotabots.request_id", r.id), attribute.String("http.route", x.endpoint.Path())))
		x.traced = relay.TraceParent(x.Context)
	}
}

// refused accounts for a request that never reached the relay.
func (x *inferring) refused(err error) {
	e, _ := public(err)
	x.account(&relay.Outcome{Err: e})
}

// done accounts for one that did.
func (x *inferring) done(o *relay.Outcome) {
	x.g.bodies.add(x.share.who, -x.held)
	x.account(o)
}

func (x *inferring) account(o *relay.Outcome) {
	g := x.g
	took := time.Since(x.began)
	code := codeOf(o)
	g.metrics.active.Dec()
	g.metrics.ended(x.endpoint, code, took, o.FirstByte)
	g.metrics.nodes.count(string(o.Node), x.endpoint, code, took.Seconds())
	if o.HasUsage || o.Estimated {
		g.metrics.prompt.Add(float64(o.Usage.Prompt))
		g.metrics.generated.Add(float64(o.Usage.Completion))
	}
	x.prefixed(o)
	if x.span != nil {
		x.span.SetAttributes(attribute.String("lotabots.node", string(o.Node)), attribute.Int("lotabots.attempts", o.Attempts))
		if code != "" {
			x.span.SetStatus(codes.Error, code)
		}
		x.span.End()
	}
	g.table.Settle(&x.Query, spent(o))
	if code == string(spec.CodeDeadline) && !x.Query.Deadline.IsZero() {
		g.metrics.missed.WithLabelValues(x.Query.Priority.String()).Inc()
	}
	x.repay(o)
	x.log(o, code, took)
	x.note(o)
}

// codeOf is why a request failed; empty: it did not.
func codeOf(o *relay.Outcome) string {
	switch {
	case o.Gone:
		return "client_gone"
	case o.Err != nil:
		return string(o.Err.Code)
	case o.Status >= 400:
		return "engine_" + strconv.Itoa(o.Status)
	}
	return ""
}

// log writes one line: a warning for what went wrong here; the rest is in the
// metrics, and shown to who asks for level debug.
func (x *inferring) log(o *relay.Outcome, code string, took time.Duration) {
	level, text := slog.LevelDebug, "inference request"
	if o.Err != nil && o.Err.Code.Lookup().Status >= 500 && o.Err.Code != spec.CodeOverloaded { // a line for each would be more than the rest
		level, text = slog.LevelWarn, "inference request failed"
	}
	if ctx := context.Background(); x.g.cfg.Log.Enabled(ctx, level) {
		attrs := []any{"request_id", x.Call.RequestID, "caller", x.who.Actor(), "deployment", x.Call.Deployment,
			"adapter", x.Call.Adapter, "node", o.Node, "attempts", o.Attempts, "code", code, "took", took}
		if o.Err != nil {
			attrs = append(attrs, "error", o.Err)
		}
		x.g.cfg.Log.Log(ctx, level, text, attrs...)
	}
}

// noQuota stands in where there is no owner: the limiter then admits its share.
type noQuota struct{}

func (noQuota) Lease(context.Context, *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	return nil, errors.New("this gateway has no quota owners")
}
