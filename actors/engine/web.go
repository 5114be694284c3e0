package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A web calls one engine over HTTP/1.1, on connections that are kept.
type web struct {
	client  *http.Client
	base    *url.URL
	reach   reach       // nil: anything below base
	always  http.Header // goes with each request
	salted  bool        // it gets CacheSalt
	adapted bool        // it gets Adapter
	foreign bool        // what program it is nobody knows: see anyProgram
	fresh   bool        // a client's request gets a connection of its own: the server closes those that it said it would keep
	socket  string      // name of the engine's socket in its room; empty: base says where it is
	aside   string      // another address of the engine's, where its driver has one
}

const (
	dialTimeout = 3 * time.Second
	maxIdle     = 128             // kept connections; more than slots, so that bursts need no new ones
	idleTime    = 4 * time.Second // of a kept connection; shorter than the servers' own, which begin at 5 s
	maxAnswer   = 4 << 20         // of what the node itself asks
)

// newWeb returns a web to base. A dial that is not nil is used in place of TCP.
func newWeb(base *url.URL, dial func(ctx context.Context, network, address string) (net.Conn, error)) *web {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &web{base: base, client: &http.Client{
		Transport: &http.Transport{
			DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime,
			TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: 64 << 10,
			Protocols: onlyHTTP1(), // and no Proxy: engines are near, and where requests go is the operator's to say
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func onlyHTTP1() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	return p
}

func (w *web) close() { w.client.CloseIdleConnections() }

// passed are the headers of a request that an engine gets; credentials are not among them.
var passed = []string{"Content-Type", "Accept", "X-Request-Id", "Traceparent", "Tracestate", spec.HeadLengthHeader}

// Method is the header by which a node has a request be another than POST. The node must set or remove it.
const Method = "X-Lotabots-Method"

// CacheSalt is the header by which a node tells an engine of its own whose beginnings of prompts, kept from
// earlier requests, this one may use. The node must set or remove it: a client's own is not to be let
// through. Engines that know cache_salt get it as that; those elsewhere get none.
const CacheSalt = "X-Lotabots-Cache-Salt"

// sharePrefixes is the option by which a deployment lets its tenants use what was
// kept of each other's prompts: who has asked the like before shows by how soon the
// answer begins.
const sharePrefixes = "share-prefixes"

// post sends a client's request. net/http repeats a POST only where it has not written any of it, so an
// engine never gets one twice.
func (w *web) post(ctx context.Context, path string, header http.Header, body []byte) (*http.Response, error) {
	method := http.MethodPost
	if m := header.Get(Method); m != "" {
		method = m
	}
	r, err := w.request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	for _, name := range passed {
		if v := header.Values(name); len(v) > 0 {
			r.Header[name] = v
		}
	}
	r.Close = w.fresh
	if w.foreign {
		anyProgram(r.Header)
	}
	if w.adapted && header.Get(Adapter) != "" {
		r.Header.Set(Adapter, header.Get(Adapter))
	}
	if w.salted && header.Get(CacheSalt) != "" {
		r.Header.Set(CacheSalt, header.Get(CacheSalt))
	}
	return w.send(r)
}

func (w *web) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	if !plainPath(path) {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "%.100q is no path of an engine's", path)
	}
	u := *w.base
	u.Path += path
	if w.reach != nil && !w.reach.allows(&u) {
		return nil, spec.Errorf(spec.CodeEngineUnavailable, "this node may not call %s: none of its engines.external-urls is a prefix of it", &u)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "lotabots")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range w.always {
		r.Header[name] = values
	}
	return r, nil
}

func (w *web) send(r *http.Request) (*http.Response, error) {
	answer, err := w.client.Do(r)
	if err != nil {
		if refused := (*egress.Refused)(nil); errors.As(err, &refused) {
			return nil, &spec.Error{Code: spec.CodeEngineUnavailable, Message: refused.Error(), Err: err,
				Hint: "Have the operator of the node list the address itself in engines.external-urls, or its range in engines.external-ranges"}
		}
		if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "dial" { // it was sent, and may be what the engine died of
			err = fmt.Errorf("%w: %w", spec.ErrBroken, err)
		}
		return nil, &spec.Error{Code: spec.CodeUpstream, Message: "the engine did not answer", Err: err}
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		answer.Body.Close()
		return nil, spec.Errorf(spec.CodeUpstream, "the engine answered with a redirect (%d), which is not followed", answer.StatusCode)
	}
	return answer, nil
}

// ask sends a question of the node's own and reads the whole answer. body may be nil.
func (w *web) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	r, err := w.request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	answer, err := w.send(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeUpstream, Message: "the engine's answer to " + path + " broke off", Err: err}
	}
	if answer.StatusCode/100 != 2 {
		return nil, &statusError{path: path, status: answer.StatusCode, text: fmt.Sprintf("%.200s", bytes.TrimSpace(raw))}
	}
	return raw, nil
}

// call is ask with JSON on both sides.
func (w *web) call(ctx context.Context, method, path string, question, answer any) error {
	var body []byte
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			return err
		}
	}
	raw, err := w.ask(ctx, method, path, body)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return &spec.Error{Code: spec.CodeUpstream, Message: "the engine's answer to " + path + " is not what it should be", Err: err}
	}
	return nil
}

// A statusError is an engine's refusal of a question of the node's.
type statusError struct {
	path   string
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the engine answers %s with %d: %s", e.path, e.status, e.text)
}
