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
	"strings"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/actors/egress"
	"github.com/lotabots/lotabots/actors/engine/hop"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/pool"
)

// A web calls one engine over HTTP/1.1, on connections that are kept.
type web struct {
	client  *http.Client // of the node's own questions, and of what near does not serve
	near    *hop.Caller  // of clients' requests; nil: the engine speaks TLS
	base    *url.URL
	reach   reach       // nil: anything below base
	always  http.Header // goes with each request
	salted  bool        // it gets CacheSalt
	adapted bool        // it gets Adapter
	foreign bool        // what program it is nobody knows: see anyProgram
	fresh   bool        // a client's request gets a connection of its own: the server closes those that it said it would keep
	socket  string      // name of the engine's socket in its room; empty: base says where it is
	aside   string      // another address of the engine's, where its driver has one

	latest atomic.Pointer[[2]string] // path that a request went to, and where that is
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
	w := &web{base: base, client: &http.Client{
		Transport: &http.Transport{
			DialContext: numbered(dial), DisableCompression: true, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime,
			TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: 64 << 10,
			Protocols: onlyHTTP1(), // and no Proxy: engines are near, and where requests go is the operator's to say
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if base.Scheme == "http" {
		w.near = &hop.Caller{Host: base.Host, Dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", base.Host) }}
	}
	return w
}

// connections are those of all webs of this process that are not a hop.Caller's.
var connections struct {
	asked, dialled atomic.Uint64
	open           atomic.Int64
}

// Connections tells of those to engines on which nodes ask for themselves, and on which those requests go whose engines speak TLS,
// or that are large.
func Connections() pool.Stats {
	return pool.Stats{Gets: connections.asked.Load(), Misses: connections.dialled.Load(), Items: connections.open.Load()}
}

// numbered is dial with what it opens counted until it is closed.
func numbered(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		connections.dialled.Add(1)
		connections.open.Add(1)
		return &countedConn{Conn: c}, nil
	}
}

type countedConn struct {
	net.Conn
	closed atomic.Bool
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		connections.open.Add(-1)
	}
	return c.Conn.Close()
}

func onlyHTTP1() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	return p
}

func (w *web) close() {
	w.client.CloseIdleConnections()
	if w.near != nil {
		w.near.Close()
	}
}

// at is where requests to path go, if they may go there.
func (w *web) at(path string) (u url.URL, err error) {
	if !plainPath(path) {
		return u, spec.Errorf(spec.CodeInvalidRequest, "%.100q is no path of an engine's", path)
	}
	u = *w.base
	u.Path += path
	if w.reach != nil && !w.reach.allows(&u) {
		return u, spec.Errorf(spec.CodeEngineUnavailable, "this node may not call %s: none of its engines.external-urls is a prefix of it", &u)
	}
	return u, nil
}

// pathAt is at, of which the path alone is wanted: that of the request before mostly.
func (w *web) pathAt(path string) (string, error) {
	if p := w.latest.Load(); p != nil && p[0] == path {
		return p[1], nil
	}
	u, err := w.at(path)
	if err != nil {
		return "", err
	}
	path = strings.Clone(path)
	w.latest.Store(&[2]string{path, w.base.Path + path})
	return u.Path, nil
}

func (w *web) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	u, err := w.at(path)
	if err != nil {
		return nil, err
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
	connections.asked.Add(1)
	return answered(w.client.Do(r))
}

// answered is an engine's answer, or why there is none.
func answered(answer *http.Response, err error) (*http.Response, error) {
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
