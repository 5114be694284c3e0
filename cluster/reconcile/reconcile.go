package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/rollout"
	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A State is what the loop reads of the state machine.
type State interface {
	Nodes() []*wire.Node
	Deployments() []*wire.Deployment
	Placements() []*wire.Placement
	Models() []*wire.Model
}

// Config is what a Reconciler needs.
type Config struct {
	State    State
	Observed func() placement.Observed // Alive and Devices; the rest is filled in here
	Propose  func(ctx context.Context, c *wire.Command) (*wire.Result, error)
	Command  func(ctx context.Context, node spec.NodeID, device spec.DeviceID, m proto.Message) (*wire.Ack, error)
	Barrier  func(ctx context.Context) error // returns when State has all that was agreed; nil: not needed

	// Demand is what gateways tell of requests, by deployment; nil: nobody tells.
	Demand func() map[string]scale.Demand

	// Trials is what gateways tell of canaries, by deployment; nil: nobody tells.
	Trials func() map[string]rollout.Trial

	// Level is the feature level that every member knows; nil: that of this build.
	Level func() uint32

	Interval   time.Duration // 0: 1 s
	DeadGrace  time.Duration // 0: 30 s
	DrainGrace time.Duration // 0: 2 min
	Settle     time.Duration // see placement.Wanted.SettleAfter; 0: nothing that runs well is moved
	Clock      func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	proposeTimeout = 5 * time.Second
	commandTimeout = 10 * time.Second
	atOnce         = 32 // commands under way
)

// A Reconciler is the loop. Run it from one goroutine at a time.
type Reconciler struct {
	cfg     Config
	metrics *metrics
	wake    chan struct{}

	mu struct {
		sync.Mutex
		graces   Graces
		unplaced []placement.Action
		scales   []scale.State
	}
}

// New returns a Reconciler, which does nothing until Run.
func New(c Config) *Reconciler {
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	if c.DeadGrace <= 0 {
		c.DeadGrace = 30 * time.Second
	}
	if c.DrainGrace <= 0 {
		c.DrainGrace = 2 * time.Minute
	}
	if c.Level == nil {
		c.Level = func() uint32 { return wire.Level }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reconciler{cfg: c, metrics: newMetrics(c.Registerer), wake: make(chan struct{}, 1)}
	r.SetGraces(Graces{Dead: c.DeadGrace, Drain: c.DrainGrace, Settle: c.Settle})
	return r
}

// Graces are the times of Config that may change.
type Graces struct{ Dead, Drain, Settle time.Duration }

// SetGraces changes Config.DeadGrace, DrainGrace and Settle, also for nodes that
// are dead or drain already.
func (r *Reconciler) SetGraces(g Graces) {
	r.mu.Lock()
	r.mu.graces = g
	r.mu.Unlock()
	r.Wake()
}

func (r *Reconciler) graces() Graces {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.graces
}

// Wake has the loop look now rather than at its next turn.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Unplaced lists what had no place at the last look, while this node leads.
func (r *Reconciler) Unplaced() []placement.Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]placement.Action(nil), r.mu.unplaced...)
}

// Run reconciles until ctx ends and its last command has returned.
func (r *Reconciler) Run(ctx context.Context) {
	t := newTerm(r)
	defer t.commands.Wait()
	defer r.tell(nil)
	defer r.tellScales(nil)
	defer r.metrics.wanted.Reset()
	if !r.barrier(ctx) {
		return
	}
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		if t.unsure {
			if !r.barrier(ctx) {
				return
			}
			t.unsure = false
		}
		t.turn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// barrier waits until the state is the newest: one that lags behind would have
// instances unloaded whose placements it does not know yet.
func (r *Reconciler) barrier(ctx context.Context) bool {
	for r.cfg.Barrier != nil {
		err := r.cfg.Barrier(ctx)
		if err == nil {
			break
		}
		r.cfg.Log.Warn("the reconciler waits for the newest state", "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(r.cfg.Interval):
		}
	}
	return ctx.Err() == nil
}

func (r *Reconciler) tell(unplaced []placement.Action) {
	r.mu.Lock()
	r.mu.unplaced = unplaced
	r.mu.Unlock()
	r.metrics.unplaced.Set(float64(len(unplaced)))
}
