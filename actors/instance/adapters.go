package instance

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Adapt has the actor load one of the instance's adapters, or unload it. It is answered
// by Adapted, unless the engine ends before: then its adapters are gone with it.
type Adapt struct {
	Name string
	Load bool
}

// Adapted tells the parent what came of an Adapt.
type Adapted struct {
	Instance spec.InstanceID
	Run      uint64
	Name     string
	Load     bool
	Err      error
	Took     time.Duration
}

// adapting is what the actor has to do about adapters, one thing at a time.
type adapting struct {
	engine engine.Engine // of the present attempt; nil: it does not serve
	queue  []*Adapt
	busy   bool
}

type adapted struct {
	attempt int
	order   *Adapt
	err     error
	took    time.Duration
}

// adapt puts an order in the queue. Without an engine there is nobody to ask, and the
// parent hears that the engine is gone.
func (a *Actor) adapt(c actor.Context, m *Adapt) {
	if a.adapting.engine == nil {
		return
	}
	a.adapting.queue = append(a.adapting.queue, m)
	a.nextAdapter(c)
}

// nextAdapter carries the first order out, in a goroutine of its own: bringing the file
// may take minutes.
func (a *Actor) nextAdapter(c actor.Context) {
	if a.adapting.busy || len(a.adapting.queue) == 0 {
		return
	}
	m := a.adapting.queue[0]
	a.adapting.queue, a.adapting.busy = a.adapting.queue[1:], true
	cfg := a.cfg
	root, self, attempt, ctx, e := c.ActorSystem().Root, c.Self(), a.attempt, a.life, a.adapting.engine
	a.tasks.Go(func() {
		began := time.Now()
		err := fmt.Errorf("panic while changing adapters")
		defer func() {
			if p := recover(); p != nil {
				a.cfg.Log.Error("panic while changing adapters", "panic", p, "stack", string(debug.Stack()))
			}
			root.Send(self, &adapted{attempt, m, err, time.Since(began)})
		}()
		err = cfg.change(ctx, e, m)
	})
}

// change has the engine take the adapter, whose file is brought here first, or leave it.
func (c *Config) change(ctx context.Context, e engine.Engine, m *Adapt) error {
	ctx, cancel := context.WithTimeout(ctx, c.Policy.Start)
	defer cancel()
	able, ok := engine.As[engine.Adapters](e)
	if !ok {
		return spec.Errorf(spec.CodeUnsupported, "The engine %s takes no adapters.", c.Load.GetEngine())
	}
	if !m.Load {
		return able.UnloadAdapter(ctx, m.Name)
	}
	path, err := c.adapterPath(ctx, m.Name)
	if err != nil {
		return err
	}
	return able.LoadAdapter(ctx, m.Name, path)
}

// adapterPath brings an adapter's file as it brings the model's.
func (c *Config) adapterPath(ctx context.Context, name string) (string, error) {
	for _, f := range c.Load.GetAdapters() {
		if f.GetName() != name {
			continue
		}
		path, err := c.Path(ctx, &wire.LoadModel{Instance: c.Load.GetInstance(), Deployment: c.Load.GetDeployment(),
			Version: c.Load.GetVersion(), Epoch: c.Load.GetEpoch(), Model: f.GetModel(), Digest: f.GetDigest()}, func(float64) {})
		if err != nil {
			return "", fmt.Errorf("bringing the file of adapter %s: %w", name, err)
		}
		return path, nil
	}
	return "", spec.Errorf(spec.CodeNotFound, "The deployment has no adapter %s.", name)
}

// adapted tells the parent, and goes on with what is next.
func (a *Actor) adapted(c actor.Context, m *adapted) {
	a.adapting.busy = false
	log := a.cfg.Log.With("adapter", m.order.Name, "took", m.took)
	switch {
	case m.err != nil && m.order.Load:
		log.Warn("adapter was not loaded", "error", m.err)
	case m.err != nil:
		log.Warn("adapter was not unloaded", "error", m.err)
	case m.order.Load:
		log.Info("adapter loaded")
	default:
		log.Info("adapter unloaded")
	}
	c.Send(c.Parent(), &Adapted{Instance: a.id(), Run: a.cfg.Run, Name: m.order.Name, Load: m.order.Load, Err: m.err, Took: m.took})
	a.nextAdapter(c)
}
