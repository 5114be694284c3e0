package gateway_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/balance"
)

// A rig is a real Gateway on loopback over a small state and engines that
// speak HTTP.
type rig struct {
	t       testing.TB
	g       *gateway.Gateway
	url     string
	state   *state
	engines *engines
	admin   string // key texts
	infer   string
	boot    uint64
	doors   *doors
	partial bool // it lacks parts that every node has, and says so with 404
}

func newRig(t testing.TB, change ...func(*gateway.Config)) *rig {
	t.Helper()
	_ = templates() // takes its time once, and not while a digest ages
	r := &rig{t: t, state: newState(), engines: newEngines(t), boot: 1}
	r.admin = r.state.addKey("adm", "t1", 0, "admin")
	r.infer = r.state.addKey("inf", "t1", 0, "infer")
	r.state.addDeployment("m", "")
	r.state.addUser("u1", "t1", "developer")
	r.doors = newDoors(r.state)
	reg := prometheus.NewRegistry()
	cfg := gateway.Config{
		Self: "n1", Region: "north", Version: "test", Proposer: r.state, State: r.state, Subscribe: r.state.subscribe,
		Opener: r.engines, Models: r.state, Tokens: r.state, Cluster: r.state, Backups: &fakeBackups{}, Barrier: r.state, Hash: r.state.hash,
		ClusterID: "c", Sessions: r.doors, VerifyAudit: verifyAudit, Records: newBooks(),
		Seal: func(name string, plain []byte) (*wire.Secret, error) {
			return &wire.Secret{Name: name, Ciphertext: bytes.Repeat([]byte("*"), len(plain))}, nil
		},
		Registerer: reg, Gatherer: reg, Log: slog.New(slog.DiscardHandler),
		Balance: balance.Config{QueueTimeout: 300 * time.Millisecond, ReadyTimeout: 100 * time.Millisecond,
			Random: func() uint64 { return rand.Uint64() | 1 }}, // explores nothing
	}
	for _, c := range change {
		c(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	r.g, r.url = g, "http://"+ln.Addr().String()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = g.Shutdown(ctx) // a second one, in tests of the first
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
	})
	return r
}

// node puts a live node with one instance of m on it; serve is its engine.
func (r *rig) node(id, region string, slots uint32, serve http.HandlerFunc) {
	r.g.Table().PutMember(balance.Member{Node: spec.NodeID(id), Region: region})
	if serve != nil {
		r.engines.add(id, serve)
	}
	r.tell(id, slots, 0)
}

var digests atomic.Uint64

func (r *rig) tell(id string, slots, running uint32) {
	r.g.Table().Observe(&wire.LoadDigest{Node: id, Boot: r.boot, Devices: []*wire.DeviceLoad{{
		Device: "cpu/" + id, Seq: digests.Add(1), Instances: []*wire.InstanceLoad{{
			Instance: "i-" + id, Deployment: "m", Version: 1, State: wire.InstanceState_INSTANCE_STATE_READY, Slots: slots, Running: running}}}}}, time.Now())
}

const chatBody = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
const streamBody = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`

func (r *rig) send(ctx context.Context, key, method, path, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := unfollowed.Do(req)
	if err == nil {
		r.hold(req, res)
	}
	return res, err
}

// do sends a request and reads its whole answer.
func (r *rig) do(key, method, path, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	res, err := r.send(ctx, key, method, path, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("reading the answer after %q: %v", b, err)
	}
	return res, string(b)
}

func codeOf(t testing.TB, body string) string {
	t.Helper()
	var doc struct {
		Error struct{ Code, Message, Hint, Type, RequestID string }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("error answer %q: %v", body, err)
	}
	return doc.Error.Code
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// engines opens calls by HTTP at the engine of the target's node, as the
// actors do over their engines.
type engines struct {
	t        testing.TB
	mu       sync.Mutex
	urls     map[string]string
	rejects  map[string]*spec.Rejection
	opened   map[string]int
	calls    []spec.Call
	client   *http.Client
	inFlight atomic.Int64
}

func newEngines(t testing.TB) *engines {
	e := &engines{t: t, urls: map[string]string{}, rejects: map[string]*spec.Rejection{}, opened: map[string]int{}, client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(e.client.CloseIdleConnections)
	return e
}

func (e *engines) add(node string, serve http.HandlerFunc) {
	s := httptest.NewServer(serve)
	e.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	e.mu.Lock()
	defer e.mu.Unlock()
	e.urls[node] = s.URL
}

func (e *engines) reject(node string, r *spec.Rejection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rejects[node] = r
}

func (e *engines) count(node string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opened[node]
}

func (e *engines) last() spec.Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[len(e.calls)-1]
}

func (e *engines) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	e.mu.Lock()
	e.opened[string(target.Node)]++
	e.calls = append(e.calls, call)
	url, refuse := e.urls[string(target.Node)], e.rejects[string(target.Node)]
	e.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, cmp.Or(call.Method, "POST"), url+call.Path, bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("X-Request-Id", call.RequestID)
	req.Header.Set("Content-Type", cmp.Or(call.ContentType, "application/json"))
	if call.HeadLength > 0 {
		req.Header.Set(spec.HeadLengthHeader, strconv.Itoa(call.HeadLength))
	}
	res, err := e.client.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	e.inFlight.Add(1)
	return &stream{res: res, cancel: cancel, e: e}, nil
}

type stream struct {
	res    *http.Response
	cancel context.CancelFunc
	once   sync.Once
	e      *engines
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.res.Body.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", spec.ErrBroken, err)
	}
	return n, err
}

func (s *stream) Close() error {
	s.once.Do(func() { s.cancel(); s.res.Body.Close(); s.e.inFlight.Add(-1) })
	return nil
}

func (s *stream) HeadLength() int {
	n, _ := strconv.Atoi(s.res.Header.Get(spec.HeadLengthHeader))
	return n
}
func (s *stream) Status() int             { return s.res.StatusCode }
func (s *stream) ContentType() string     { return s.res.Header.Get("Content-Type") }
func (s *stream) Load() (spec.Load, bool) { return spec.Load{}, false }

const answer = `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2},"x_engine":"kept"}`

// whole answers in one piece.
func whole(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

func event(w http.ResponseWriter, text string) {
	fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", text)
	w.(http.Flusher).Flush()
}

// streamed sends three events, the end of the answer and [DONE].
func streamed(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	for _, s := range []string{"a", "b", "c"} {
		event(w, s)
	}
	_, _ = io.WriteString(w, ends+"data: [DONE]\n\n")
}

const ends = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"

func line(t testing.TB, b *bufio.Reader) string {
	t.Helper()
	for {
		s, err := b.ReadString('\n')
		if err != nil {
			t.Fatalf("reading a line after %q: %v", s, err)
		}
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
}

// unfollowed shows redirects as they are.
var unfollowed = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
