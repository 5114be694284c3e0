package gpu

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/envelope"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Engines are the presets that instances may run.
type Engines interface {
	Check(engine.Spec) error
	Open(engine.Spec) (engine.Engine, error)
}

// Config is what the actor of a device needs.
type Config struct {
	Node    spec.NodeID
	Device  device.Device
	Devices []device.Device // all of the node's
	Engines Engines
	// Abilities tells what engines of a preset and its options can; nil: nobody knows.
	Abilities func(preset string, options map[string]string) spec.Abilities
	Path      func(ctx context.Context, load *wire.LoadModel, told func(part float64)) (string, error)
	Policy    instance.Policy
	// Seq counts the device's digests. It outlives a restart of the actor, which
	// nobody must mistake for old news.
	Seq *atomic.Uint64
	// Grant takes a place that is kept for a gateway's request. It must not block. Nil:
	// gateways are granted nothing.
	Grant func(spec.Lease)
	// Serves is told that an instance has an engine now, and by nil that it has none any
	// more. It must not block. Nil: nobody asks.
	Serves func(id spec.InstanceID, load *wire.LoadModel, e engine.Engine)
	// Sharing tells how many requests for the instance go to its engine together now, and
	// how many such it takes at a time; 0: none go together. Nil: that of every instance.
	Sharing func(id spec.InstanceID) (now, most int)
	// Lanes are where requests come in and go out without a message; nil: each is one.
	Lanes *Lanes
	// Publish takes a digest, and owns it then. It must not block.
	Publish func(*wire.DeviceLoad)
	// Found are placements whose engines the node's process before has left running. Each is told once.
	// Nil: none.
	Found func() []*wire.LoadModel
	// Guests are those of them that spread over this device from another.
	Guests  func() []Guest
	Metrics *Metrics
	// Learnt is what instances were measured to take; nil: nothing is remembered.
	Learnt *memory.Learnt
	// Quarantines outlive the actor; nil: they end with it.
	Quarantines *Quarantines
	Log         *slog.Logger
	Now         func() time.Time
}

// coalesce is how long a change may wait for others before it is told.
const coalesce = 20 * time.Millisecond

// Actor owns one device.
type Actor struct {
	cfg      Config
	table    *table
	children map[string]*inst // by the PID of the instance's actor
	pids     map[*inst]*actor.PID
	spreads  map[spec.InstanceID]*inst // for which other devices have been asked for memory
	serving  serving
	lanes    map[*inst]struct{} // instances that have one
	pumping  *time.Timer        // nil: nothing is to be granted, or to expire, as far as the time goes
	pumps    time.Time          // when pumping ends
	flushing *time.Timer        // nil: nothing has changed since the last digest
	born     int64              // Unix ms: tells this actor's runs from its predecessors'
	closing  bool               // nothing is started any more: the actor's own end waits for its children's
}

// New returns the actor of c.Device, which holds nothing yet.
func New(c Config) *Actor {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Log = c.Log.With("device", c.Device.ID)
	t := newTable(c.Device)
	t.abilities, t.grants = c.Abilities, c.Grant != nil
	was := c.Quarantines.of(c.Device.ID)
	t.fault, t.accepted = was.Fault, was.Accepted
	return &Actor{cfg: c, born: c.Now().UnixMilli(), table: t, children: map[string]*inst{}, pids: map[*inst]*actor.PID{}, spreads: map[spec.InstanceID]*inst{}, serving: serving{}, lanes: map[*inst]struct{}{}}
}

// Receive is the actor's one entry.
func (a *Actor) Receive(c actor.Context) {
	a.takeOver(c)
	a.receive(c)
	if len(a.spreads) > 0 && !a.closing {
		a.mind(c)
	}
	a.letPass(c)
}

func (a *Actor) receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *Admit:
		a.admit(c, m)
	case *FirstByte:
		a.grant(c, a.table.firstByte(m, a.cfg.Now()))
		a.changed(c)
	case *Release:
		a.release(c, m)
	case *Waits:
		a.grant(c, a.table.waits(m, a.cfg.Now()))
	case *pump:
		a.pump(c)
	case *wire.Envelope:
		a.command(c, m)
	case *instance.Changed:
		a.engineChanged(c, m)
	case *instance.Progress:
		if a.table.progress(m) {
			a.changed(c)
		}
	case *instance.Adapted:
		a.adapted(c, m)
	case *instance.Measured:
		if a.table.measure(m, a.cfg.Now()) {
			a.learn(a.table.instances[m.Instance])
			a.resized(a.table.instances[m.Instance])
			a.pump(c)
			a.changed(c)
		}
	case *Sampled:
		a.sampled(c, m.Reading)
	case *Faulted:
		a.faulted(c, m.Event)
	case *Reserve, *Reserved, *Free, *Settled, *Withdrawn, *GuestFaulted, *GuestMeasured:
		a.share(c, m)
	case *Heartbeat:
		a.table.overdue(a.cfg.Now())
		a.arrange(c)
		for in := range a.table.every() {
			a.adapt(c, in)
		}
		a.pump(c)
		a.publish()
	case *flush:
		a.publish()
	case *actor.Terminated:
		a.terminated(c, m.Who)
	case *actor.Started:
		if a.table.quarantined() {
			a.cfg.Log.Error("device gets no work until it is resumed: it has been in quarantine before", "reason", a.table.fault.Text)
		}
		a.cfg.Metrics.device.quarantine(a.cfg.Device.ID, a.table.quarantined())
		a.adopt(c)
		a.publish()
	case *actor.Stopping, *actor.Restarting:
		a.closing, a.table.draining = true, true
		a.closeLanes()
		a.leaveOthers(c)
		if a.flushing != nil {
			a.flushing.Stop()
		}
		if a.pumping != nil {
			a.pumping.Stop()
		}
	}
}

// engineChanged takes in what an instance's actor tells of its engine.
func (a *Actor) engineChanged(c actor.Context, m *instance.Changed) {
	a.stop(c, a.table.change(m, a.cfg.Now()))
	a.resized(a.table.instances[m.Instance])
	a.arrange(c)
	a.pump(c)
	a.changed(c)
}

func (a *Actor) admit(c actor.Context, m *Admit) {
	e, in, rejected := a.table.admit(m, a.cfg.Now())
	answer := Admission{Engine: e, Rejected: rejected}
	if in != nil {
		answer.Load = a.load(in)
		if rejected != nil {
			rejected.Load = &answer.Load
		}
	}
	m.Reply <- answer
	if in != nil {
		a.grant(c, in)
	}
	if rejected != nil {
		a.cfg.Metrics.admissions.WithLabelValues(string(a.cfg.Device.ID), rejected.Reason).Inc()
		if rejected.Reason == spec.RejectLoading {
			a.arrange(c)
			a.adapt(c, in)
			a.changed(c)
		}
		return
	}
	a.cfg.Metrics.admitted(a.cfg.Device.ID, 1)
	a.changed(c)
}

func (a *Actor) release(c actor.Context, m *Release) {
	in, stop := a.table.release(m, a.cfg.Now())
	if in == nil {
		return
	}
	a.cfg.Metrics.released(in.load.GetDeployment(), m)
	a.cfg.Metrics.counted(in.load.GetDeployment(), m.PromptTokens, m.CompletionTokens)
	a.resized(in)
	if m.Reply != nil {
		m.Reply <- a.load(in)
	}
	if stop {
		a.stop(c, in)
	}
	if in.leases == 0 && a.table.pressed() {
		a.arrange(c)
	}
	a.adapt(c, in)
	a.grant(c, in)
	a.changed(c)
}

// adapt has adapters come and go that the table decides on.
func (a *Actor) adapt(c actor.Context, in *inst) {
	if a.closing || a.pids[in] == nil {
		return
	}
	for _, o := range a.table.adapt(in, a.cfg.Now()) {
		if !o.load {
			a.cfg.Metrics.adapterEvictions.WithLabelValues(in.load.GetDeployment(), o.name).Inc()
		}
		c.Send(a.pids[in], &instance.Adapt{Name: o.name, Load: o.load})
	}
}

func (a *Actor) adapted(c actor.Context, m *instance.Adapted) {
	in := a.table.adapted(m, a.cfg.Now())
	if in == nil {
		return
	}
	if m.Load {
		result := "loaded"
		if m.Err != nil {
			result = "failed"
		}
		a.cfg.Metrics.adapterLoads.WithLabelValues(in.load.GetDeployment(), m.Name, result).Inc()
	}
	a.adapt(c, in)
	a.changed(c)
}

// arrange starts what has been waiting for memory that is there now, and unloads
// what has to go for others or has been idle for long.
func (a *Actor) arrange(c actor.Context) {
	if a.closing {
		return
	}
	start, evicted := a.table.arrange(a.cfg.Now())
	for _, v := range evicted {
		a.cfg.Log.Info("instance is unloaded; the next request has it loaded again", "instance", v.inst.id, "deployment", v.inst.load.GetDeployment(),
			"cause", v.cause, "for", v.by, "memory_bytes", v.inst.load.GetMemoryBytes())
		a.cfg.Metrics.evictions.WithLabelValues(string(a.cfg.Device.ID), v.cause).Inc()
		a.stop(c, v.inst)
	}
	a.start(c, start...)
	if len(evicted) > 0 {
		a.changed(c)
	}
}

func (a *Actor) load(in *inst) spec.Load {
	l := a.table.loadOf(in, a.cfg.Now())
	l.Seq, l.At = a.cfg.Seq.Load(), a.cfg.Now()
	return l
}

// command obeys an envelope and answers its sender.
func (a *Actor) command(c actor.Context, e *wire.Envelope) {
	m, err := envelope.Open(e, a.cfg.Now())
	if err == nil {
		err = a.obey(c, m)
	}
	load := a.table.snapshot(a.cfg.Now())
	load.Seq = a.cfg.Seq.Load()
	ack := &wire.Ack{Load: load}
	if err != nil {
		ack = envelope.Failed(err, load)
		a.cfg.Log.Warn("command refused", "kind", e.GetKind(), "origin", e.GetOrigin(), "request_id", e.GetHeaders()["request-id"], "error", err)
	}
	a.cfg.Metrics.commands.WithLabelValues(kindLabel(m), ack.Code).Inc()
	if c.Sender() == nil {
		return
	}
	answer, err := envelope.Pack(ack, a.cfg.Node, time.Time{}, e.GetHeaders())
	if err != nil {
		a.cfg.Log.Error("an answer cannot be packed", "kind", e.GetKind(), "error", err)
		return
	}
	c.Send(c.Sender(), answer)
}

// kindLabel names the message for metrics: of what was not understood, its sender
// chose the name.
func kindLabel(m proto.Message) string {
	if m == nil {
		return "unknown"
	}
	return string(m.ProtoReflect().Descriptor().Name())
}

func (a *Actor) obey(c actor.Context, m proto.Message) error {
	var do outcome
	var err error
	switch m := m.(type) {
	case *wire.LoadModel:
		predicted := m.MemoryBytes
		m.MemoryBytes = a.reserve(m)
		do, err = a.table.add(m, a.check)
		if err == nil {
			a.table.placed(m, predicted)
			if m.Ahead {
				a.table.ahead(a.table.instances[spec.InstanceID(m.Instance)], a.cfg.Now())
			}
			a.cfg.Log.Info("instance is to be loaded", "instance", m.Instance, "deployment", m.Deployment, "version", m.Version,
				"epoch", m.Epoch, "memory_bytes", m.MemoryBytes, "predicted_bytes", predicted, "on_demand", m.OnDemand, "waits", do.start == nil)
		}
	case *wire.UnloadModel:
		do, err = a.table.remove(m)
		if err == nil {
			a.cfg.Log.Info("instance is to be unloaded", "instance", m.Instance, "epoch", m.Epoch, "drain", m.Drain, "reason", m.Reason)
		}
	case *wire.Drain:
		a.table.draining = true
		a.cfg.Log.Info("device drains", "reason", m.Reason)
	case *wire.Resume:
		a.table.draining = false
		a.resumed(c)
	case *wire.Describe:
		return nil
	default:
		return spec.Errorf(spec.CodeInvalidRequest, "A device takes no %s.", kindLabel(m))
	}
	if err != nil {
		a.changed(c) // a refused instance is told of
		return err
	}
	if do.start != nil {
		a.start(c, do.start)
	}
	if do.placed != nil && a.pids[do.placed] != nil {
		c.Send(a.pids[do.placed], &instance.Placed{Load: do.placed.load})
	}
	a.stop(c, do.stop)
	a.arrange(c)
	a.changed(c)
	return nil
}

// check tells why what m asks for cannot run here.
func (a *Actor) check(m *wire.LoadModel) error {
	if err := a.checkSpread(m); err != nil {
		return err
	}
	return a.cfg.Engines.Check(instance.Spec(m, a.cfg.Device, a.others(m)...))
}

// start spawns the actors of instances whose memory is there. What is held for
// another device's instance is told to its owner.
func (a *Actor) start(c actor.Context, instances ...*inst) {
	if a.closing {
		return
	}
	for _, in := range instances {
		if in.guest != nil {
			c.Send(in.guest.owner, &Reserved{Instance: in.id, Epoch: in.epoch, Device: a.cfg.Device.ID})
			continue
		}
		if !a.gather(c, in) {
			continue
		}
		deployment := in.load.GetDeployment()
		cfg := instance.Config{
			Load: in.load, Run: in.run, Device: a.cfg.Device, Others: a.others(in.load), Path: a.cfg.Path, Open: a.cfg.Engines.Open, Attach: a.attach(), Policy: a.cfg.Policy,
			Crashed: func(cause string) { a.cfg.Metrics.ended(deployment, cause) },
			Phase:   func(phase string, took time.Duration) { a.cfg.Metrics.phased(in.load.GetEngine(), phase, took) }, Log: a.cfg.Log,
		}
		pid := c.Spawn(actor.PropsFromProducer(func() actor.Actor { return instance.New(cfg) }))
		a.children[pid.Id], a.pids[in] = in, pid
	}
	if len(instances) > 0 {
		c.Send(c.Self(), &flush{})
	}
}

func (a *Actor) stop(c actor.Context, in *inst) {
	if in != nil && a.pids[in] != nil {
		c.Stop(a.pids[in])
	}
}

func (a *Actor) sampled(c actor.Context, r device.Reading) {
	if a.table.sampled && a.table.reading.Health != r.Health {
		a.cfg.Log.Warn("device's health", "health", r.Health, "before", a.table.reading.Health)
		a.changed(c)
	}
	if len(r.Processes) > 0 {
		r.MemoryOthers = r.Foreign(a.table.owns)
	}
	if r.Share != a.table.reading.Share {
		a.changed(c)
	}
	a.cfg.Metrics.device.count(a.cfg.Device.ID, a.table.reading.ECC, r.ECC)
	a.table.reading, a.table.sampled = r, true
	a.weighed(c, r.Processes)
	a.cfg.Metrics.device.show(a.cfg.Device.ID, r)
	a.table.accepted.Uncorrected = min(a.table.accepted.Uncorrected, r.ECC.Uncorrected) // less: the driver was loaded anew
	if e, wrong := device.Judge(a.table.accepted, r); wrong {
		a.faulted(c, e)
	}
	a.arrange(c)
}

// terminated takes in that an instance's actor, and so its engine, is gone.
func (a *Actor) terminated(c actor.Context, who *actor.PID) {
	in := a.children[who.GetId()]
	if in == nil || who.GetAddress() != c.Self().GetAddress() {
		return
	}
	delete(a.children, who.GetId())
	delete(a.pids, in)
	a.table.ended(in)
	a.arrange(c)
	a.changed(c)
}

// changed has what changed told soon, together with what changes meanwhile.
func (a *Actor) changed(c actor.Context) {
	if a.flushing != nil || a.closing {
		return
	}
	root, self := c.ActorSystem().Root, c.Self()
	a.flushing = time.AfterFunc(coalesce, func() { root.Send(self, &flush{}) })
}

// publish tells the device's digest.
func (a *Actor) publish() {
	if a.flushing != nil {
		a.flushing.Stop()
		a.flushing = nil
	}
	a.serve()
	d := a.table.snapshot(a.cfg.Now())
	d.Seq = a.cfg.Seq.Add(1)
	a.shared(d)
	a.table.told()
	a.cfg.Metrics.show(d, a.table.hosted(), len(a.table.leases), a.table.predicted())
	a.cfg.Metrics.showAdapters(d.Device, a.table.sorted())
	a.cfg.Publish(d)
}
