package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// BenchmarkRequest is what one chat completion costs of the gateway's own: from the bytes of the
// request to those of the answer, on one connection, with a limited key, accounting and metrics,
// and an engine that answers at once. There is neither a socket nor a second goroutine in it; cpu-ns/op is
// what to go by on a busy machine, or what valgrind's cachegrind counts. BenchmarkRequestBare is the same of a server that
// does nothing else, which is what remains at least.
func BenchmarkRequest(b *testing.B) { benchmarkRequest(b, nil) }

func benchmarkRequest(b *testing.B, before func()) {
	b.Helper()
	books := &notedUses{}
	r := newRig(b, func(c *gateway.Config) {
		c.Opener, c.Usage, c.Quota = &instant{}, books, plenty{}
		c.Balance.DigestInterval = time.Hour
	})
	key := r.state.addKey("bench", "t1", 2_000_000_000, "infer")
	r.state.keys["benchxxxx"].Models = []string{"m*"}
	r.state.fn(gateway.Change{Index: 11, Reset: true})
	r.node("n1", "north", 1<<20, nil)
	c := newLooped(key)
	c.before = before
	serveLooped(b, c, r.g.Serve)
	if books.settled < b.N {
		b.Fatalf("%d of %d requests were written down", books.settled, b.N)
	}
}

// BenchmarkRequestCold is BenchmarkRequest where other work has filled the processor's caches before each
// request, as what goes on between two requests of one connection does on a busy machine: the
// second-level one, and all of them. request-ns/op leaves out what the filling takes.
func BenchmarkRequestCold(b *testing.B) {
	for _, cache := range []struct {
		name string
		size int
	}{{"L2", 4 << 20}, {"all", 64 << 20}} {
		b.Run(cache.name, func(b *testing.B) {
			other := bytes.Repeat([]byte{1}, cache.size)
			benchmarkRequest(b, func() {
				for i := 0; i < len(other); i += 64 {
					filled += other[i]
				}
			})
		})
	}
}

var filled byte // so that the reading is done

// BenchmarkRequestBare is BenchmarkRequest's floor.
func BenchmarkRequestBare(b *testing.B) {
	s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.SetContentType("application/json")
		ctx.SetBody([]byte(answer))
	}}
	serveLooped(b, newLooped("lb-key"), s.Serve)
}

func serveLooped(b *testing.B, c *looped, serve func(net.Listener) error) {
	b.Helper()
	ln := &single{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	go func() { _ = serve(ln) }()
	defer ln.Close()
	c.left = 100 // which fill caches and pools
	c.warm, c.ended = make(chan struct{}), make(chan struct{})
	ln.conn <- c
	c.begin = make(chan int)
	<-c.warm
	b.ReportAllocs()
	before := computed()
	b.ResetTimer()
	c.begin <- b.N
	<-c.ended
	b.StopTimer()
	b.ReportMetric(float64(computed()-before)/float64(b.N), "cpu-ns/op")
	if c.before != nil {
		b.ReportMetric(float64(b.Elapsed()-c.apart)/float64(b.N), "request-ns/op")
	}
	if c.bad != "" || c.answers < b.N {
		b.Fatalf("%d of %d answers; another was %q", c.answers, b.N, c.bad)
	}
}

// computed is the time that the process has computed for, in ns.
func computed() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// A looped connection brings the same request again and again, and looks at the answers.
type looped struct {
	net.Conn
	request     []byte
	left        int
	warm, ended chan struct{}
	begin       chan int
	begun       bool
	before      func()        // each request; nil: nothing
	apart       time.Duration // that it took
	answers     int
	bad         string
}

func newLooped(key string) *looped {
	const body = `{"model":"m","stream":false,"temperature":0.2,"max_tokens":256,"messages":[{"content":"You are a helpful assistant. Answer in one short paragraph, and say so where you are not sure.","role":"system"},` +
		`{"content":"Which of the nodes of a cluster should answer a request, if several have the model loaded?","role":"user"}]}`
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.SetRequestURI("http://127.0.0.1:8080/v1/chat/completions")
	req.Header.SetContentType("application/json")
	req.Header.SetUserAgent("fasthttp")
	req.Header.Set("Authorization", "Bearer "+key)
	req.SetBodyString(body)
	return &looped{request: []byte(req.String())}
}

func (c *looped) Read(p []byte) (int, error) {
	if c.left == 0 && !c.begun {
		c.begun, c.answers, c.apart = true, 0, 0
		close(c.warm)
		c.left = <-c.begin
	}
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	if c.before != nil {
		began := time.Now()
		c.before()
		c.apart += time.Since(began)
	}
	return copy(p, c.request), nil
}

func (c *looped) Write(p []byte) (int, error) {
	if string(p[:min(len(p), 12)]) == "HTTP/1.1 200" {
		c.answers++
	} else {
		c.bad = string(p)
	}
	return len(p), nil
}

func (c *looped) Close() error {
	close(c.ended)
	return nil
}

func (c *looped) LocalAddr() net.Addr              { return loopback }
func (c *looped) RemoteAddr() net.Addr             { return loopback }
func (c *looped) SetDeadline(time.Time) error      { return nil }
func (c *looped) SetReadDeadline(time.Time) error  { return nil }
func (c *looped) SetWriteDeadline(time.Time) error { return nil }

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}

// A single listener gives out one connection.
type single struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *single) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *single) Addr() net.Addr { return loopback }

// instant answers at once, to one request at a time.
type instant struct{ answering }

func (i *instant) Open(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
	i.left = answer
	return &i.answering, nil
}

type answering struct{ left string }

func (a *answering) Read(p []byte) (int, error) {
	if a.left == "" {
		return 0, io.EOF
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}

func (a *answering) Close() error            { return nil }
func (a *answering) Status() int             { return 200 }
func (a *answering) ContentType() string     { return "application/json" }
func (a *answering) Load() (spec.Load, bool) { return spec.Load{Slots: 1 << 20, Seq: 1 << 60}, true }

// plenty gives as much of every limit as is asked for.
type plenty struct{}

func (plenty) Lease(_ context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	return &wire.QuotaGrant{Granted: r.GetWant(), Remaining: 1 << 30, TtlMs: 10_000}, nil
}

// A notedUses counts what is written down.
type notedUses struct{ settled int }

func (s *notedUses) Settle(*wire.UsageRecord) error {
	s.settled++
	return nil
}

func (s *notedUses) Note(*wire.UsageRecord) {}
