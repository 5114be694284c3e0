package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A term is one time of leading: what is remembered lives as long. All but
// commands belongs to the goroutine of Run.
type term struct {
	*Reconciler
	memory   *memory
	pace     *pace
	slots    chan struct{}
	commands sync.WaitGroup
	said     map[lack]bool
	scaler   *scale.Controller
	wanted   map[string]int  // by deployment that is scaled
	rises    map[string]rise // by deployment that is loaded on demand
	squeezed map[string]bool // deployments whose replicas lacked a place at the last look
	unsure   bool            // a write may have been agreed and not be in the state yet
}

// A lack is why replicas of a deployment have no place.
type lack struct{ deployment, reason string }

func newTerm(r *Reconciler) *term {
	return &term{Reconciler: r, memory: newMemory(), pace: newPace(), slots: make(chan struct{}, atOnce), said: map[lack]bool{},
		scaler: scale.NewController(), wanted: map[string]int{}, rises: map[string]rise{}}
}

// turn looks once and does what is to be done.
func (t *term) turn(ctx context.Context) {
	began := time.Now()
	// Observations first: what is observed has a placement that the state read
	// afterwards still has, or has no more.
	o := t.cfg.Observed()
	o.Now = t.cfg.Clock()
	g := t.graces()
	w := placement.Wanted{
		Deployments: t.cfg.State.Deployments(), Placements: t.cfg.State.Placements(),
		Nodes: t.cfg.State.Nodes(), Models: t.cfg.State.Models(),
		DeadGrace: g.Dead, DrainGrace: g.Drain, SettleAfter: g.Settle, Still: t.cfg.Level() < placement.MovesLevel,
	}
	t.scale(&w, o)
	t.memory.recall(w, &o, t.pace.refused())
	t.pace.forget(w, o)
	var unplaced []placement.Action
	changed := false
	for _, a := range placement.Plan(w, o) {
		switch a.Kind {
		case placement.Unplaced:
			unplaced = append(unplaced, a)
		case placement.Place, placement.Remove:
			// After one that failed the others would as well, slowly.
			changed = !t.unsure && t.write(ctx, a) || changed
		default:
			t.command(ctx, w, o.Now, a)
		}
	}
	changed = t.judge(ctx, w, o) || changed
	for _, a := range t.ahead(w, o) {
		t.command(ctx, w, o.Now, a)
	}
	t.tell(unplaced)
	t.say(unplaced, canaries(w))
	t.metrics.seconds.Observe(time.Since(began).Seconds())
	if changed { // what was placed can be loaded at once
		t.Wake()
	}
}

// say logs a reason for lacking replicas when it is new, and notes who lacks some.
func (t *term) say(unplaced []placement.Action, tried map[version]*wire.Deployment) {
	now := map[lack]bool{}
	t.squeezed = map[string]bool{}
	for _, a := range unplaced {
		l := lack{a.Deployment, a.Reason}
		if tried[version{a.Deployment, a.Version}] == nil {
			t.squeezed[a.Deployment] = true
		}
		if !now[l] && !t.said[l] {
			t.cfg.Log.Warn("a replica has no place", "deployment", a.Deployment, "version", a.Version, "reason", a.Reason)
		}
		now[l] = true
	}
	t.said = now
}

// write changes a record. One that fails is planned again at the next turn, from
// a state that shows whether it has failed.
func (t *term) write(ctx context.Context, a placement.Action) bool {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	c := &wire.Command{Level: 1, RequestId: uuid.NewString(), AtMs: t.cfg.Clock().UnixMilli(), Principal: "reconciler"}
	if a.Kind == placement.Place {
		a.Instance = instanceID(a.Deployment)
		c.Body = &wire.Command_PutPlacement{PutPlacement: &wire.PutPlacement{Placement: &wire.Placement{
			Instance: string(a.Instance), Deployment: a.Deployment, Version: a.Version,
			Node: string(a.Node), Device: string(a.Device), Devices: names(a.Others), OnDemand: a.OnDemand, MemoryBytes: a.Memory, Replaces: string(a.Replaces)}}}
	} else {
		c.Body = &wire.Command_RemovePlacement{RemovePlacement: &wire.RemovePlacement{Instance: string(a.Instance), Reason: a.Reason}}
	}
	result, err := t.cfg.Propose(ctx, c)
	t.unsure = err != nil
	if err == nil && result.GetCode() != "" {
		err = spec.Errorf(spec.Code(result.Code), "%s", result.Message)
	}
	t.done(ctx, a, err)
	return err == nil
}

// instanceID makes a new id: the deployment's name says what it is, and 48 random
// bits that it is no other.
func instanceID(deployment string) spec.InstanceID {
	u := uuid.New()
	return spec.InstanceID(fmt.Sprintf("%s-%x", deployment, u[:6]))
}

// command sends a device what it is to do, unless one is on its way or it is too
// early for another.
func (t *term) command(ctx context.Context, w placement.Wanted, now time.Time, a placement.Action) {
	m, err := message(w, a)
	if err != nil {
		t.done(ctx, a, err)
		return
	}
	select {
	case t.slots <- struct{}{}:
	default: // all slots are held by slow ones; the next turn comes soon
		return
	}
	key := paceKey{a.Instance, a.Kind}
	if !t.pace.begin(key, now) {
		<-t.slots
		return
	}
	t.commands.Go(func() {
		defer func() { <-t.slots }()
		ctx, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		ack, err := t.cfg.Command(ctx, a.Node, a.Device, m)
		if err == nil && ack.GetCode() != "" {
			err = spec.Errorf(spec.Code(ack.Code), "%s", ack.Message)
		}
		t.pace.end(key, t.cfg.Clock(), err, quiet)
		t.done(ctx, a, err)
	})
}

// message makes the message of a Load, a Warm or an Unload.
func message(w placement.Wanted, a placement.Action) (proto.Message, error) {
	if a.Kind == placement.Unload {
		return &wire.UnloadModel{Instance: string(a.Instance), Epoch: a.Epoch, Reason: a.Reason, Drain: a.Drain}, nil
	}
	for _, d := range w.Deployments {
		if d.Name != a.Deployment {
			continue
		}
		if d.Tries(a.Version) {
			d = d.Candidate()
		}
		m := &wire.LoadModel{Instance: string(a.Instance), Deployment: d.Name, Version: d.Version, Epoch: a.Epoch,
			Model: d.Model, Engine: d.Engine, Options: d.Options, Context: d.Context, Slots: d.Slots, MemoryBytes: a.Memory,
			Devices: names(a.Others), OnDemand: a.OnDemand, KeepAliveMs: d.GetResidency().GetKeepAliveMs(),
			MinResidentMs: d.GetResidency().GetMinResidentMs(), Tenant: d.Tenant, MemorySource: a.Source, Ahead: a.Kind == placement.Warm}
		digests := map[string][]byte{}
		for _, model := range w.Models {
			digests[model.Name] = model.Digest
		}
		m.Digest = digests[d.Model]
		for _, x := range d.Adapters {
			m.Adapters = append(m.Adapters, &wire.ModelFile{Name: x.Name, Model: x.Model, Digest: digests[x.Model]})
		}
		return m, nil
	}
	return nil, spec.Errorf(spec.CodeNotFound, "deployment %s is not in the state", a.Deployment)
}

func names(devices []spec.DeviceID) (out []string) {
	for _, d := range devices {
		out = append(out, string(d))
	}
	return out
}

// done counts an action and tells of it, one line each.
func (t *term) done(ctx context.Context, a placement.Action, err error) {
	attrs := []any{"action", a.Kind.String(), "deployment", a.Deployment, "version", a.Version, "instance", a.Instance,
		"node", a.Node, "device", a.Device, "epoch", a.Epoch, "memory_bytes", a.Memory, "reason", a.Reason}
	if err != nil {
		if errors.Is(context.Cause(ctx), context.Canceled) {
			return // this node leads no more
		}
		t.metrics.actions.WithLabelValues(a.Kind.String(), "failed").Inc()
		t.cfg.Log.Warn("placement action failed", append(attrs, "error", err)...)
		return
	}
	t.metrics.actions.WithLabelValues(a.Kind.String(), "done").Inc()
	if a.Kind == placement.Place {
		t.metrics.moves.WithLabelValues(a.Cause.String()).Inc()
	}
	t.cfg.Log.Info("placement action", attrs...)
}
