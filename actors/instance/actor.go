package instance

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Config is what an instance is and what it needs.
type Config struct {
	Load   *wire.LoadModel // itself never changed; Placed brings another
	Run    uint64          // repeated in every message to the parent
	Device device.Device
	Others []device.Device // that it spreads over as well
	// Path brings the model's file here, and tells on the way which part of it is, 0 to 1.
	Path    func(ctx context.Context, load *wire.LoadModel, told func(part float64)) (string, error)
	Open    func(engine.Spec) (engine.Engine, error)
	Attach  func(spec.InstanceID) (engine.Engine, bool) // to an engine that runs already, if there is one; may be nil
	Policy  Policy
	Crashed func(cause string)                     // counts a crash; may be nil
	Phase   func(phase string, took time.Duration) // of a start is over; called from any goroutine; may be nil
	Log     *slog.Logger
}

// Actor keeps one engine running.
type Actor struct {
	cfg     Config
	attempt int
	crashes int // in a row
	readyAt time.Time
	served  time.Duration // by the present attempt's engine, once failing
	failing bool          // the present attempt's engine is being stopped for what it did, and that was told
	timer   *time.Timer   // of the next attempt
	ctx     context.Context
	cancel  context.CancelFunc
	fail    context.CancelCauseFunc // ends the present attempt; nil: none is under way
	tasks   sync.WaitGroup          // the goroutine that owns the engine, and the one that changes its adapters
	life    context.Context         // of the present attempt

	adapting adapting
	unnoted  bool // the engine's shim does not know the newest placement
}

// New returns an actor that starts its engine when it is spawned.
func New(c Config) *Actor {
	c.Policy = c.Policy.withDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("instance", c.Load.GetInstance(), "deployment", c.Load.GetDeployment())
	a := &Actor{cfg: c}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Receive is the actor's one entry.
func (a *Actor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		a.tell(c, wire.InstanceState_INSTANCE_STATE_LOADING, "", nil)
		a.begin(c)
	case *ready:
		if m.attempt == a.attempt {
			a.readyAt = time.Now()
			a.adapting.engine = m.engine
			a.confirm()
			a.tell(c, wire.InstanceState_INSTANCE_STATE_READY, "", m.engine)
		}
	case *progressed:
		if m.attempt == a.attempt && a.readyAt.IsZero() {
			c.Send(c.Parent(), &Progress{Instance: a.id(), Run: a.cfg.Run, Phase: m.phase, Percent: m.percent})
		}
	case *measured:
		if m.attempt == a.attempt {
			c.Send(c.Parent(), &Measured{Instance: a.id(), Run: a.cfg.Run, Load: m.load, Pieces: m.pieces})
		}
	case *failing:
		if m.attempt == a.attempt && a.fail != nil {
			a.failed(c, m.err)
		}
	case *ended:
		if m.attempt == a.attempt {
			a.ended(c, m.err)
		}
	case *Placed:
		a.placed(m)
	case *Adapt:
		a.adapt(c, m)
	case *adapted:
		if m.attempt == a.attempt && a.adapting.engine != nil {
			a.adapted(c, m)
		}
	case *Fault:
		if a.fail != nil {
			a.cfg.Log.Warn("device fault: the engine is restarted", "fault", m.Reason)
			a.fail(&faultError{m.Reason})
		}
	case *retry:
		if m.attempt == a.attempt {
			a.begin(c)
		}
	case *actor.Stopping, *actor.Restarting:
		a.halt()
	}
}

func (a *Actor) id() spec.InstanceID { return spec.InstanceID(a.cfg.Load.GetInstance()) }

func (a *Actor) tell(c actor.Context, s wire.InstanceState, reason string, e engine.Engine) {
	c.Send(c.Parent(), &Changed{Instance: a.id(), Run: a.cfg.Run, State: s, Reason: reason, Engine: e})
}

// begin starts the next attempt in a goroutine of its own: fetching and loading
// take minutes, and the mailbox never waits.
func (a *Actor) begin(c actor.Context) {
	a.attempt++
	a.readyAt, a.served, a.failing = time.Time{}, 0, false
	root, self, attempt := c.ActorSystem().Root, c.Self(), a.attempt
	ctx, fail := context.WithCancelCause(a.ctx)
	a.fail, a.life = fail, ctx
	r := &run{cfg: a.cfg, attempt: attempt, post: func(m any) { root.Send(self, m) }}
	a.tasks.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				a.cfg.Log.Error("panic while running an engine", "panic", p, "stack", string(debug.Stack()))
				r.post(&ended{attempt, fmt.Errorf("panic: %v", p)})
			}
		}()
		r.run(ctx)
	})
}

// failed tells of an engine that serves no more before it is gone: its memory stays taken, so that the verdict
// waits for its end.
func (a *Actor) failed(c actor.Context, err error) {
	a.adapting, a.failing = adapting{}, true
	if !a.readyAt.IsZero() {
		a.served = time.Since(a.readyAt)
	}
	a.tell(c, wire.InstanceState_INSTANCE_STATE_RESTARTING, reason(err), nil)
}

// ended judges a crash. The engine of the attempt is gone already.
func (a *Actor) ended(c actor.Context, err error) {
	a.fail(nil)
	a.fail, a.adapting = nil, adapting{}
	if a.cfg.Crashed != nil {
		a.cfg.Crashed(causeOf(err, !a.readyAt.IsZero()))
	}
	served := a.served
	if !a.failing && !a.readyAt.IsZero() {
		served = time.Since(a.readyAt)
	}
	v := a.cfg.Policy.judge(err, served, a.crashes)
	a.crashes, v.wait = v.crashes, jittered(v.wait, rand.Float64())
	if v.giveUp {
		a.cfg.Log.Error("instance has failed: its engine is not started again", "crashes", v.crashes, "served", served, "error", err)
		a.tell(c, wire.InstanceState_INSTANCE_STATE_FAILED, reason(err), nil)
		return
	}
	a.cfg.Log.Warn("engine ended; it is started again", "crashes", v.crashes, "served", served, "in", v.wait, "error", err)
	if !a.failing {
		a.tell(c, wire.InstanceState_INSTANCE_STATE_RESTARTING, reason(err), nil)
	}
	root, self, attempt := c.ActorSystem().Root, c.Self(), a.attempt
	a.timer = time.AfterFunc(v.wait, func() { root.Send(self, &retry{attempt}) })
}

// halt ends the engine and waits until it is gone: what the device's ledger gives
// away next must be free.
func (a *Actor) halt() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.cancel()
	a.tasks.Wait()
}
