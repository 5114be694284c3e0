package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/openai"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // sleeps its last ten seconds out
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// A bench is a Relay behind a real HTTP server, over a real table, with
// openers that play what a test tells them to.
type bench struct {
	t     testing.TB
	relay *Relay
	table *balance.Table
	url   string
	web   *http.Client
	nodes []string
	seq   atomic.Uint64

	mu struct {
		sync.Mutex
		plays    map[spec.NodeID][]play // the next ones; the last is played again
		opened   []spec.Call
		at       []spec.NodeID
		bodies   []string
		open     int // streams that are not closed
		outcomes []Outcome
		of       map[string][]Outcome // by request id
	}
	compose func(spec.NodeID, spec.Call) play // instead of plays
	can     spec.Ability                      // of every instance
	prepare func(*Exchange)                   // nil: nothing
}

// A play is what one Open does.
type play struct {
	err      error
	panics   bool
	hang     bool // until the context ends
	status   int
	kind     string
	pieces   []any // string: bytes; channel: waits for its end; error: ends with it; duration: a pause; "" and nothing more: the proper end
	loopLast bool  // the last piece again and again
	cached   spec.CacheResult
	hides    bool
	age      time.Duration
	load     spec.Load // told where it has slots
}

func streams(pieces ...any) play { return play{status: 200, kind: eventStream, pieces: pieces} }
func says(status int, body string) play {
	return play{status: status, kind: "application/json", pieces: []any{body}}
}
func rejects(reason string) play { return play{err: &spec.Rejection{Reason: reason}} }

var (
	errConnect = errors.New("connection refused")
	errBroke   = fmt.Errorf("%w: connection reset", spec.ErrBroken)
)

func newBench(t testing.TB, nodes string, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, nodes: strings.Fields(nodes), web: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	b.mu.of = map[string][]Outcome{}
	b.mu.plays = map[spec.NodeID][]play{}
	b.table = balance.NewTable(balance.Config{QueueTimeout: 300 * time.Millisecond, ReadyTimeout: 100 * time.Millisecond, DigestInterval: time.Minute, Random: steady})
	b.tell()
	cfg := Config{Opener: b, Table: b.table}
	for _, c := range change {
		c(&cfg)
	}
	b.relay = New(cfg)
	b.relay.Start()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + ln.Addr().String()
	server := &fasthttp.Server{Handler: b.handle, WriteTimeout: time.Minute, CloseOnShutdown: true, Logger: nobody{}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		b.relay.Abort()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := errors.Join(server.ShutdownWithContext(ctx), <-served, b.relay.Drained(ctx)); err != nil {
			t.Error("shutdown:", err)
		}
		b.relay.Stop()
		b.nothingHeld()
	})
	return b
}

// steady explores nothing: one in so many that are even would.
func steady() uint64 { return rand.Uint64() | 1 }

type nobody struct{}

func (nobody) Printf(string, ...any) {}

// tell makes every node a member with an instance of four slots.
func (b *bench) tell() { b.tellState(wire.InstanceState_INSTANCE_STATE_READY) }

func (b *bench) tellState(s wire.InstanceState) {
	for i, n := range b.nodes {
		region := "north"
		if i > 0 { // the order of trying is that of the names
			region = "south"
		}
		b.table.PutMember(balance.Member{Node: spec.NodeID(n), Region: region})
		b.table.Observe(&wire.LoadDigest{Node: n, Boot: 1, Devices: []*wire.DeviceLoad{{Device: "cpu/" + n, Seq: b.seq.Add(1), Instances: []*wire.InstanceLoad{{
			Instance: "i-" + n, Deployment: "m", Version: 3, State: s, Slots: 4, Can: uint32(b.can), PrefillTps: float32(1000 - i)}}}}}, time.Now())
	}
}

// nothingHeld takes every place there is, which fails if one was not given back.
func (b *bench) nothingHeld() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.open != 0 {
		b.t.Errorf("%d streams were not closed", b.mu.open)
	}
	b.tellState(wire.InstanceState_INSTANCE_STATE_LOADING) // who comes from there has failed nothing yet
	b.tell()
	for range 4 * len(b.nodes) {
		if _, err := b.table.Acquire(context.Background(), &balance.Query{Deployment: "m", Version: 3}, new(balance.Grant)); err != nil {
			b.t.Errorf("a place was not given back: %v", err)
			return
		}
	}
}

func (b *bench) plays(node spec.NodeID, p ...play) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.plays[node] = p
}

// handle is what the gateway does around the relay.
func (b *bench) handle(ctx *fasthttp.RequestCtx) {
	h := &ctx.Request.Header
	x := &Exchange{
		Context: context.Background(), Body: []byte("{}"), Conn: ctx.Conn(), Topology: len(h.Peek("Hide")) == 0,
		Call:  spec.Call{RequestID: string(h.Peek("X-Request-Id")), Deployment: "m", Version: 3, Stream: len(h.Peek("Stream")) > 0},
		Query: balance.Query{Deployment: "m", Version: 3, Region: "north", PromptTokens: 10},
	}
	x.Done = func(o *Outcome) { b.done(x.Call.RequestID, *o) }
	if d, err := time.ParseDuration(string(h.Peek("Deadline"))); err == nil {
		x.Call.Deadline = time.Now().Add(d)
	}
	if b.prepare != nil {
		b.prepare(x)
	}
	defer func() {
		if p := recover(); p != nil {
			ctx.SetStatusCode(500)
		}
	}()
	if err := b.relay.Serve(ctx, x); err != nil && !errors.Is(err, ErrGone) {
		e := asPublic(err)
		ctx.SetStatusCode(e.Code.Lookup().Status)
		ctx.SetBody(openai.AppendError(nil, e, x.Call.RequestID, nil))
	}
}

func (b *bench) done(id string, o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.outcomes = append(b.mu.outcomes, o)
	b.mu.of[id] = append(b.mu.of[id], o)
}

// outcome waits for the only outcome.
func (b *bench) outcome() Outcome {
	b.t.Helper()
	eventually(b.t, "an outcome", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.outcomes) > 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.outcomes) != 1 {
		b.t.Fatalf("%d outcomes: %+v", len(b.mu.outcomes), b.mu.outcomes)
	}
	return b.mu.outcomes[0]
}

// tried lists the nodes in the order of their attempts.
func (b *bench) tried() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, n := range b.mu.at {
		out = append(out, string(n))
	}
	return strings.Join(out, " ")
}

// bodyOf is the last body that the node was sent.
func (b *bench) bodyOf(node spec.NodeID) (body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, at := range b.mu.at {
		if at == node {
			body = b.mu.bodies[i]
		}
	}
	return body
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// ask sends a request; headers come in pairs.
func (b *bench) ask(ctx context.Context, stream bool, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", b.url, strings.NewReader("{}"))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "r1")
	if stream {
		req.Header.Set("Stream", "1")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return b.web.Do(req)
}

// get sends a request and reads its whole answer.
func (b *bench) get(stream bool, headers ...string) (*http.Response, string) {
	b.t.Helper()
	res, err := b.ask(b.t.Context(), stream, headers...)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatalf("after %q: %v", body, err)
	}
	return res, string(body)
}

// Open plays the next play of the target's node.
func (b *bench) Open(ctx context.Context, target spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
	b.mu.Lock()
	b.mu.opened = append(b.mu.opened, call)
	b.mu.at = append(b.mu.at, target.Node)
	b.mu.bodies = append(b.mu.bodies, string(body))
	list := b.mu.plays[target.Node]
	p := play{err: errConnect}
	if len(list) > 0 {
		p = list[0]
	}
	if len(list) > 1 {
		b.mu.plays[target.Node] = list[1:]
	}
	b.mu.Unlock()
	if b.compose != nil {
		p = b.compose(target.Node, call)
	}
	switch {
	case p.panics:
		panic("an opener's bug")
	case p.hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case p.err != nil:
		return nil, p.err
	}
	b.mu.Lock()
	b.mu.open++
	b.mu.Unlock()
	return &player{play: p, b: b, ctx: ctx, closed: make(chan struct{})}, nil
}

// A player is a stream that plays its pieces.
type player struct {
	play
	b      *bench
	ctx    context.Context
	rest   string
	at     int
	once   sync.Once
	closed chan struct{}
}

func (p *player) Read(buf []byte) (int, error) {
	for p.rest == "" {
		select {
		case <-p.closed:
			return 0, fmt.Errorf("%w: closed", spec.ErrBroken)
		case <-p.ctx.Done():
			return 0, fmt.Errorf("%w: %w", spec.ErrBroken, p.ctx.Err())
		default:
		}
		if p.at == len(p.pieces) {
			if !p.loopLast {
				return 0, io.EOF
			}
			p.at--
		}
		switch piece := p.pieces[p.at].(type) {
		case string:
			p.rest = piece
		case error:
			return 0, piece // again and again
		case chan struct{}:
			select {
			case <-p.closed:
				continue
			case <-piece:
			}
		case time.Duration:
			select {
			case <-p.closed:
				continue
			case <-p.ctx.Done():
				continue
			case <-time.After(piece):
			}
		}
		p.at++
	}
	n := copy(buf, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *player) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.b.mu.Lock()
		p.b.mu.open--
		p.b.mu.Unlock()
	})
	return nil
}
func (p *player) Status() int             { return p.status }
func (p *player) ContentType() string     { return p.kind }
func (p *player) Load() (spec.Load, bool) { return p.load, p.load.Slots > 0 }

func (p *player) Cached() (spec.CacheResult, time.Duration) { return p.cached, p.age }

func (b *bench) streamsOpen() int { b.mu.Lock(); defer b.mu.Unlock(); return b.mu.open }

func piece(text string) string {
	return "data: {\"choices\":[{\"delta\":{\"content\":\"" + text + "\"}}]}\n\n"
}

const (
	stopped = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	done    = "data: [DONE]\n\n"
)

// nextLine reads the next line that is not empty.
func nextLine(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	for {
		s, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", s, err)
		}
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
}

func memberOf(node spec.NodeID) balance.Member { return balance.Member{Node: node, Region: "north"} }

// Hides implements spec.Hiding.
func (p *player) Hides() bool { return p.hides }
