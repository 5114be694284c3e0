package gateway

import (
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/api"
)

// healthz tells that the process serves.
func healthz(r *request) error {
	return r.json(200, struct {
		Status  string `json:"status"`
		Node    string `json:"node"`
		Version string `json:"version"`
	}{"ok", string(r.g.cfg.Self), r.g.cfg.Version})
}

// readyz tells whether new clients should come here. A disk that takes no writes
// is told of, and keeps no client away: the node is no Raft server then.
func readyz(r *request) error {
	if err := r.g.readiness(); err != nil {
		return err
	}
	disk := ""
	if err := r.g.cfg.Disk(); err != nil { // requests need none
		disk = err.Error()
	}
	return r.json(200, struct {
		Status     string `json:"status"`
		StateIndex uint64 `json:"state_index"`
		Disk       string `json:"disk"`
	}{"ready", r.g.cfg.State.Index(), disk})
}

// readiness says why new clients should go elsewhere, or nil.
func (g *Gateway) readiness() error {
	if g.draining.Load() {
		return spec.Errorf(spec.CodeDraining, "This node is draining.")
	}
	if err := g.cfg.Ready(); err != nil {
		return &spec.Error{Code: spec.CodeNotReady, Message: "This node is not ready: " + err.Error() + ".", Hint: "Wait, or ask another node."}
	}
	return nil
}

// showMetrics serves Prometheus: to loopback, or to who may read them.
func showMetrics(from prometheus.Gatherer) operation {
	show := fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(from, promhttp.HandlerOpts{}))
	return func(r *request) error {
		if !local(r.ctx) || len(r.key()) > 0 {
			if err := r.identified(access.MetricsRead); err != nil {
				return err
			}
		}
		show(r.ctx)
		return nil
	}
}

// forwarding are headers by which a proxy says that it asks for somebody else.
var forwarding = []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "Via"}

// local tells whether the caller is on this machine: not a proxy here, as far as
// it says so, that passes on what comes from elsewhere.
func local(ctx *fasthttp.RequestCtx) bool {
	for _, name := range forwarding {
		if len(ctx.Request.Header.Peek(name)) > 0 {
			return false
		}
	}
	tcp, ok := ctx.RemoteAddr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// identified wants the caller to be known and to have the verb in the whole cluster.
func (r *request) identified(v access.Verb) error {
	if err := r.identify(); err != nil {
		return err
	}
	return r.must(v, access.Cluster)
}

func showSpec(r *request) error {
	r.ctx.Response.Header.SetContentType("application/json")
	r.ctx.Response.SetBodyRaw(api.JSON())
	return nil
}
