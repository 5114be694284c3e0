package engine

import (
	"context"
	"net/http"

	"github.com/lotabots/lotabots/actors/engine/hop"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// passed are the headers of a request that an engine gets; credentials are not among them.
var passed = []string{"Content-Type", "Accept", "X-Request-Id", "Traceparent", "Tracestate", spec.HeadLengthHeader}

// Method is the header by which a node has a request be another than POST. The node must set or remove it.
const Method = "X-Lotabots-Method"

// CacheSalt is the header by which a node tells an engine of its own whose beginnings of prompts, kept from
// earlier requests, this one may use. The node must set or remove it: a client's own is not to be let
// through. Engines that know cache_salt get it as that; those elsewhere get none.
const CacheSalt = "X-Lotabots-Cache-Salt"

// TokenCounts is the header by which a node wants to be told the tokens of each input of a
// request for vectors, which engines of its own do.
const TokenCounts = "X-Lotabots-Token-Counts"

// sharePrefixes is the option by which a deployment lets its tenants use what was
// kept of each other's prompts: who has asked the like before shows by how soon the
// answer begins, and by what the engine tells of its cache. An engine that mixes
// tenants does so in any case: there the second alone is decided.
const sharePrefixes = "share-prefixes"

// Field is the first field of that name, which is written as headers have it; empty: there is none.
func Field(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// post sends a client's request. It is sent again only where no byte of it was taken, so
// an engine never gets one twice.
func (w *web) post(ctx context.Context, path string, header http.Header, body []byte) (*http.Response, error) {
	if w.near == nil || len(body) > hop.MostBody {
		return w.postFar(ctx, path, header, body)
	}
	at, err := w.pathAt(path)
	if err != nil {
		return nil, err
	}
	near := nears.Get()
	near.request = hop.Request{Method: methodOf(header), Path: at, Header: near.request.Header[:0], Body: body, Last: w.fresh}
	w.fields(header, near.set)
	answer, err := w.near.Do(ctx, &near.request)
	near.giveBack()
	return answered(answer, err)
}

// A near is a request of hop's, which does not keep it.
type near struct {
	request hop.Request
	set     func(name, value string) // adds a field
}

var nears = pool.New("engine-requests", func() *near {
	n := &near{request: hop.Request{Header: make([]hop.Field, 0, 12)}}
	n.set = func(name, value string) {
		n.request.Header = append(n.request.Header, hop.Field{Name: name, Value: value})
	}
	return n
})

func (n *near) giveBack() {
	fields := n.request.Header
	clear(fields)
	n.request = hop.Request{Header: fields[:0]}
	nears.Put(n)
}

// postFar is post by net/http, which reads while it sends and speaks TLS.
func (w *web) postFar(ctx context.Context, path string, header http.Header, body []byte) (*http.Response, error) {
	r, err := w.request(ctx, methodOf(header), path, body)
	if err != nil {
		return nil, err
	}
	w.fields(header, r.Header.Set)
	r.Close = w.fresh
	return w.send(r)
}

func methodOf(header http.Header) string {
	if m := header[Method]; len(m) > 0 && m[0] != "" {
		return m[0]
	}
	return http.MethodPost
}

// fields gives the header that an engine gets of a client's request, each name once.
func (w *web) fields(header http.Header, set func(name, value string)) {
	set("User-Agent", "lotabots")
	for name, values := range w.always {
		if len(values) > 0 {
			set(name, values[0])
		}
	}
	if len(header["Content-Type"]) == 0 && w.always.Get("Content-Type") == "" {
		set("Content-Type", "application/json")
	}
	for _, name := range passed {
		v := header[name]
		switch {
		case len(v) == 0 || len(w.always[name]) > 0:
		case name == requestID && w.foreign:
			anyProgram(v[0], set)
		default:
			set(name, v[0])
		}
	}
	if v := header[Adapter]; w.adapted && len(v) > 0 && v[0] != "" {
		set(Adapter, v[0])
	}
	if len(header[TokenCounts]) > 0 && w.adapted {
		set(TokenCounts, "1")
	}
	if v := header[CacheSalt]; w.salted && len(v) > 0 && v[0] != "" {
		set(CacheSalt, v[0])
	}
}
