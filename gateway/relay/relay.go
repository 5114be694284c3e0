package relay

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
)

// Config of a Relay. Zero durations and counts take the defaults named.
type Config struct {
	Opener     spec.Opener
	Table      *balance.Table
	Tries      int           // attempts that may fail before the first byte; 3. Refusals are not counted.
	FirstByte  time.Duration // 60 s: a stream that gives no byte for so long is broken
	Between    time.Duration // 30 s: the same between two of its bytes
	Whole      time.Duration // 10 min: an answer that is not streamed
	WriteStall time.Duration // 30 s: a client that takes nothing for so long is gone
	MinRate    int           // 1 KB: bytes a second; who takes a stream more slowly than its engine gives it, and than this, is gone after WriteStall or some times of it
	PingAfter  time.Duration // 5 s: a stream without a byte for so long gets comments, as often
	MaxAnswer  int           // 64 MiB: of an answer that is not streamed
	// Detach has pass run with the request's connection once the server has let go of it, and
	// served on where it returns true. With nil, where the connection is lost before. false: it
	// cannot. nil: such a connection is of no use after.
	Detach     func(ctx *fasthttp.RequestCtx, pass func(net.Conn) (keep bool)) bool
	Tracer     trace.Tracer // nil: no spans
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// maxRefusals bounds how many actors refuse one request before it is refused.
const maxRefusals = 16

// A Relay carries requests. Start runs its watcher, Stop ends it.
type Relay struct {
	cfg     Config
	first   atomic.Int64 // Config.FirstByte and Config.Between, which may change
	between atomic.Int64
	watcher *watcher
	metrics *metrics
	budgets *budgets
	trials  *trials
	speeds  speeds
	lacking lacks
	legs    sync.WaitGroup // that ask instances for whole answers
	apart   atomic.Int64   // streams on connections that the server has let go of
	crew    crew
}

// New returns a Relay that is not started.
func New(cfg Config) *Relay {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&cfg.FirstByte, 60*time.Second)
	or(&cfg.Between, 30*time.Second)
	or(&cfg.Whole, 10*time.Minute)
	or(&cfg.WriteStall, 30*time.Second)
	or(&cfg.PingAfter, 5*time.Second)
	if cfg.MinRate == 0 {
		cfg.MinRate = 1 << 10
	}
	if cfg.Tries == 0 {
		cfg.Tries = 3
	}
	if cfg.MaxAnswer == 0 {
		cfg.MaxAnswer = 64 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Relay{cfg: cfg, watcher: newWatcher(cfg.Table.Alive), metrics: newMetrics(cfg.Registerer), budgets: newBudgets(), trials: newTrials(cfg.Registerer)}
	r.watcher.probes.ask, _ = cfg.Opener.(spec.Prober)
	r.SetPatience(cfg.FirstByte, cfg.Between)
	return r
}

// SetPatience changes how long streams may give no byte. One that waits already
// has the limit under which it began to.
func (r *Relay) SetPatience(first, between time.Duration) {
	r.first.Store(int64(first))
	r.between.Store(int64(between))
}

// Start runs the watcher until Stop.
func (r *Relay) Start() {
	r.watcher.hangup = newHangups()
	go r.watcher.run()
}

// Abort ends every request under way, streams with an error event, and lets no
// other begin.
func (r *Relay) Abort() { r.watcher.endAll() }

// Go runs f in a goroutine that is used again, and so may have a stack that is large enough for a request.
func (r *Relay) Go(f func()) { r.crew.run(f) }

// Stop ends the watcher and waits for it. No request may be under way.
func (r *Relay) Stop() {
	close(r.watcher.stop)
	<-r.watcher.ended
	r.legs.Wait()
	r.crew.close()
	r.watcher.probes.wait()
}
