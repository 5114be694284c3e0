package gateway

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/balance"
	"github.com/lotabots/lotabots/gateway/guard"
	"github.com/lotabots/lotabots/gateway/limit"
	"github.com/lotabots/lotabots/gateway/relay"
	"github.com/lotabots/lotabots/gateway/strain"
)

// A Gateway serves clients on the listeners given to Serve. Feed its Table with
// digests and members.
type Gateway struct {
	cfg     Config
	table   *balance.Table
	keys    *auth.Table
	catalog *catalog
	limiter *limit.Limiter
	limits  limits
	relay   *relay.Relay
	metrics *metrics
	router  *router.Router
	server  *fasthttp.Server
	tracer  trace.Tracer  // nil: nothing is traced
	guard   *guard.Guard  // of addresses, and of names and keys from there
	names   *guard.Guard  // of names to log in by, wherever from
	bad     *guard.Memory // credentials that have been refused
	from    *guard.Memory // names with the addresses from which they have logged in
	pace    *guard.Pace   // of changes
	notes   *guard.Notes
	bodies  room
	heavy   *heavy
	crowd   *crowd
	noted   atomic.Uint64 // writes of the gateway's own
	uses    uses
	ages    ages
	asOf    asOf
	ranks   ranks
	traffic traffic
	strain  strain.Watch

	following   sync.Mutex    // one change at a time, also while New reads everything
	seen        atomic.Uint64 // index of the last change taken over
	draining    atomic.Bool
	listening   listeners
	unsubscribe func()
	once        sync.Once
	work        context.Context // of admin operations
	abandon     context.CancelFunc
	telling     sync.WaitGroup // of what writes what was gathered
}

// New assembles a Gateway; it reads the state once and starts to follow it.
// Shutdown ends it, also if Serve was never called.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, keys: auth.New(cfg.ClusterID), table: balance.NewTable(cfg.Balance), tracer: tracer(),
		guard: guard.New(guard.Limits{}, nil), names: guard.New(guard.Limits{Burst: 100}, nil), notes: guard.NewNotes(nil),
		pace: guard.NewPace(4096, nil), bad: guard.NewMemory(countAgain, 16<<10, nil), from: guard.NewMemory(welcome, 64<<10, nil)}
	g.crowd = newCrowd(mostConnections(cfg.Connections), cfg.Registerer)
	g.heavy = newHeavy()
	g.bodies.set(cfg.Bodies, max(cfg.Bodies/2, int64(cfg.MaxBody)+pieceSize))
	g.listening.head, g.listening.idle = cfg.ReadTimeout, cfg.IdleTimeout
	g.work, g.abandon = context.WithCancel(context.Background())
	g.catalog = newCatalog(cfg.State)
	g.limiter = limit.New(limit.Config{Leaser: cfg.Quota, Gateways: cfg.Gateways, Log: cfg.Log})
	g.metrics = newMetrics(cfg.Registerer, g.table, g.limiter)
	cfg.Registerer.MustRegister(strained{&g.strain})
	g.relay = relay.New(relay.Config{
		Opener: cfg.Opener, Table: g.table, Tracer: g.tracer, Registerer: cfg.Registerer, Log: cfg.Log,
		FirstByte: cfg.FirstByte, Between: cfg.Between, Whole: cfg.Whole,
		MinRate: max(1, cfg.MinRate/4), Detach: g.detach,
		WriteStall: cfg.WriteStall, PingAfter: cfg.PingAfter, Tries: cfg.Tries,
	})
	g.router = g.routes()
	g.server = g.newServer()
	cfg.Registerer.MustRegister(g.pools()...)
	g.unsubscribe = cfg.Subscribe(g.follow)
	g.follow(Change{Index: cfg.State.Index(), Reset: true})
	g.relay.Start()
	g.limiter.Start()
	g.telling.Go(func() { g.tell(g.work) })
	g.telling.Go(func() { g.strain.Run(g.work.Done()) })
	return g, nil
}

// Table is the routing table, to be fed by the caller.
func (g *Gateway) Table() *balance.Table { return g.table }

// Routes lists the paths that are served, by method.
func (g *Gateway) Routes() map[string][]string { return g.router.List() }

// tracer is nil where the process has no tracing set up, so that requests are
// spared its cost.
func tracer() trace.Tracer {
	t := otel.Tracer("github.com/lotabots/lotabots/gateway")
	_, span := t.Start(context.Background(), "gateway.start")
	defer span.End()
	if !span.SpanContext().IsValid() {
		return nil
	}
	return t
}

// headSize is that of the largest head of a request.
const headSize = 16 << 10

func (g *Gateway) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      g.handle,
		ErrorHandler:                 g.badRequest,
		HeaderReceived:               g.headed,
		ExpectHandler:                g.expected,
		Name:                         "lotabots",
		Concurrency:                  g.crowd.most + mostRefusing, // never met: the crowd is full before
		ConnState:                    g.connState,
		ReadBufferSize:               headSize,
		ReadTimeout:                  g.cfg.ReadTimeout,
		WriteTimeout:                 g.cfg.WriteTimeout,
		IdleTimeout:                  g.cfg.IdleTimeout,
		MaxRequestBodySize:           prefetch,
		StreamRequestBody:            true, // so that nobody's body is held before the key is known
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		NoDefaultDate:                true,
		LazyRequestTime:              true, // which nobody asks for
		TCPKeepalive:                 true,
		Logger:                       quiet{g.cfg.Log},
	}
}

// Serve answers clients on ln until Shutdown, and then returns nil; at once,
// if that has been called already. It closes ln.
func (g *Gateway) Serve(ln net.Listener) error {
	l, ok := g.listening.add(ln, g.crowd, g.cfg.TLS)
	if !ok {
		return ln.Close()
	}
	err := g.server.Serve(l)
	if g.listening.ended() {
		return nil
	}
	return err
}

// StartDrain makes /readyz fail and asks clients to go elsewhere with their
// next request; those that come are served all the same.
func (g *Gateway) StartDrain() { g.draining.Store(true) }

// EndDrain takes StartDrain back.
func (g *Gateway) EndDrain() { g.draining.Store(false) }

// Shutdown refuses new connections and waits for the requests under way; those
// that remain when ctx ends are ended with an error that says so. Then it ends
// everything that New started.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.StartDrain()
	g.listening.close()
	err := g.server.ShutdownWithContext(ctx)
	if err == nil {
		err = g.relay.Drained(ctx)
	}
	if err == nil {
		err = g.crowd.gone(ctx)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		g.abandon()
		g.relay.Abort()
		last, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		err = errors.Join(err, g.server.ShutdownWithContext(last), g.relay.Drained(last), g.crowd.gone(last))
		cancel()
	}
	g.once.Do(func() {
		g.unsubscribe()
		g.abandon()
		g.telling.Wait()
		g.crowd.telling.Wait()
		g.limiter.Close()
		g.relay.Stop()
	})
	return err
}
