package engine

import (
	"context"
	"net/http"

	"github.com/lotabots/lotabots/actors/engine/hop"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

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
func (w *web) post(ctx context.Context, path string, head *Head, body []byte) (*http.Response, error) {
	if w.near == nil || len(body) > hop.MostBody {
		return w.postFar(ctx, path, head, body)
	}
	at, err := w.pathAt(path)
	if err != nil {
		return nil, err
	}
	near := nears.Get()
	near.request = hop.Request{Method: head.method(), Path: at, Header: near.request.Header[:0], Body: body, Last: w.fresh}
	w.fields(head, near.set)
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
func (w *web) postFar(ctx context.Context, path string, head *Head, body []byte) (*http.Response, error) {
	r, err := w.request(ctx, head.method(), path, body)
	if err != nil {
		return nil, err
	}
	w.fields(head, r.Header.Set)
	r.Close = w.fresh
	return w.send(r)
}
