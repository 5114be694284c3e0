package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/answers"
	"github.com/lotabots/lotabots/actors/batch"
	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A System is a node's actors. Fields are set by Start and do not change.
type System struct {
	cfg     Config
	metrics *metrics
	tracer  trace.Tracer // nil: nothing is traced
	presets *engine.Presets
	memory  *memory.Learnt // nil: nothing is kept
	devices []device.Device
	system  *actor.ActorSystem
	link    *link // nil: not started
	book    *book
	herald  *herald
	crier   *crier
	quota   *actor.PID
	pids    map[spec.DeviceID]*actor.PID
	answers map[spec.DeviceID]*answers.Cache
	found   map[spec.DeviceID][]*wire.LoadModel // whose engines run already; until their device's actor has asked
	guests  map[spec.DeviceID][]gpu.Guest       // as found, of instances that spread over the device

	open    opening  // of calls that this node may serve
	served  sync.Map // spec.InstanceID to *served
	batches *batch.Batcher
	lanes   gpu.Lanes
	leases  atomic.Uint64 // the last one made
	streams streams
	closing atomic.Bool
	work    context.Context // ends with the system
	cancel  context.CancelFunc
	tasks   sync.WaitGroup // goroutines of the system
	calls   calls
}

// Start finds the devices, starts their actors and lets other nodes reach them.
func Start(c Config) (*System, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &System{cfg: c, metrics: newMetrics(c.Registerer), tracer: newTracer(), book: newBook(), herald: newHerald(&c), pids: map[spec.DeviceID]*actor.PID{}, answers: map[spec.DeviceID]*answers.Cache{}}
	s.crier = newCrier(&c, s.herald.say)
	s.work, s.cancel = context.WithCancel(context.Background())
	s.open = s.through(opener{s})
	s.presets = engine.New(engine.Config{
		Helper: c.Engines.Helper, Libraries: c.Engines.Libraries, Ollama: c.Engines.Ollama, LlamaServer: c.Engines.LlamaServer,
		VLLM: c.Engines.VLLM, SGLang: c.Engines.SGLang, Triton: c.Engines.Triton, Models: c.Engines.Models, Presets: c.Engines.Presets,
		ExternalURLs: c.Engines.ExternalURLs, Egress: c.Engines.Egress, Shim: c.Engines.Shim, User: c.Engines.User, Linger: c.Engines.Linger, Node: string(c.Node), Boot: c.Boot, RunDir: c.RunDir, Log: c.Log,
	})
	finding, cancel := context.WithTimeout(context.Background(), discoverTimeout)
	defer cancel()
	var err error
	if s.devices, err = device.Discover(finding, s.deviceConfig()); err != nil {
		return nil, fmt.Errorf("looking for devices: %w", err)
	}
	s.find(finding)
	s.system = newActorSystem(c.Log)
	if s.link, err = startLink(&s.cfg, s.system, s.guard(), s.book); err == nil {
		err = s.spawn()
	}
	if err != nil {
		s.presets.Leave()
		closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, s.Shutdown(closing))
	}
	c.Splice(s.link.loopback)
	s.tasks.Go(func() { s.herald.run(s.work) })
	s.tasks.Go(func() { s.crier.run(s.work) })
	s.tasks.Go(func() { s.streams.watch(s.work) })
	s.tasks.Go(func() { s.expireAnswers(s.work) })
	if len(s.devices) > 0 {
		s.tasks.Go(func() { device.Watch(s.work, s.deviceConfig(), s.devices, s.sampled, s.happened) })
	}
	return s, nil
}

// newActorSystem makes a system that logs to log. Its count of dead letters, a
// goroutine that nobody can wait for, is made to end soon.
func newActorSystem(log *slog.Logger) *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(10*time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(demoted{log.Handler()}).With("lib", "protoactor")
		}))
}

func (s *System) deviceConfig() device.Config {
	d := s.cfg.Devices
	helper, err := engine.HelperPath(s.cfg.Engines.Helper)
	if err != nil { // no GPU can be seen then; the engines that need it say so themselves
		helper = ""
	}
	return device.Config{Node: s.cfg.Node, Kind: d.Kind, Simulated: d.Simulated, MemoryMB: d.MemoryMB, Faults: d.Faults, FaultFile: d.FaultFile,
		Helper: helper, Log: s.cfg.Log}
}

func (s *System) guard() *guard {
	g := &guard{self: s.cfg.Address, devices: map[string]bool{}, address: s.cfg.RemoteAddr, roles: s.cfg.PeerRoles,
		met: s.book.write, refused: s.metrics.refused, log: s.cfg.Log}
	for _, d := range s.devices {
		g.devices[string(d.ID)] = true
	}
	return g
}

// spawn starts the actors of the devices and of the limits.
func (s *System) spawn() error {
	sup := &supervisor{log: s.cfg.Log, restarts: s.metrics.restarts}
	named := func(name string, make func() actor.Actor) (*actor.PID, error) {
		props := actor.PropsFromProducer(func() actor.Actor { return witnessed{make(), s.cfg.Log} },
			actor.WithGuardian(sup), actor.WithSupervisor(sup))
		return s.system.Root.SpawnNamed(props, name)
	}
	var err error
	if s.quota, err = named(quota.Name, func() actor.Actor { return quota.New(s.cfg.Quota) }); err != nil {
		return fmt.Errorf("starting the actor of limits: %w", err)
	}
	measured, kept := gpu.NewMetrics(s.cfg.Registerer), answers.NewMetrics(s.cfg.Registerer)
	s.memory = s.learnt()
	quarantines := s.quarantines()
	for _, d := range s.devices {
		s.answers[d.ID] = answers.New(answers.Config{Bytes: s.cfg.AnswerBytes, Metrics: kept})
		c := gpu.Config{
			Node: s.cfg.Node, Device: d, Devices: s.devices, Engines: s.presets, Abilities: s.presets.Abilities, Path: s.cfg.BlobPath, Policy: s.cfg.Policy,
			Seq: new(atomic.Uint64), Grant: s.granter(d.ID), Serves: s.serves, Sharing: s.sharing, Lanes: &s.lanes, Publish: s.herald.put, Found: once(s.found[d.ID]), Guests: once(s.guests[d.ID]), Metrics: measured, Learnt: s.memory, Quarantines: quarantines, Log: s.cfg.Log,
		}
		if s.pids[d.ID], err = named(string(d.ID), func() actor.Actor { return gpu.New(c) }); err != nil {
			return fmt.Errorf("starting the actor of device %s: %w", d.ID, err)
		}
	}
	s.herald.beat = func() { s.tellAll(&gpu.Heartbeat{}) }
	return nil
}

// learnt opens what instances were measured to take, and has it saved until the
// work of the system ends. Nil: nothing is kept.
func (s *System) learnt() *memory.Learnt {
	if s.cfg.Learnt == "" || len(s.devices) == 0 {
		return nil
	}
	l, err := memory.OpenLearnt(s.cfg.Learnt)
	if err != nil {
		s.cfg.Log.Warn("what models were measured to take cannot be read", "error", err)
	}
	s.tasks.Go(func() {
		l.Keep(s.work, func(err error) {
			s.cfg.Log.Warn("what models were measured to take cannot be saved", "file", s.cfg.Learnt, "error", err)
		})
	})
	return l
}

// quarantines opens what is known against devices, and has it saved until the work of
// the system ends.
func (s *System) quarantines() *gpu.Quarantines {
	q, err := gpu.OpenQuarantines(s.cfg.Faults)
	if err != nil {
		s.cfg.Log.Error("which devices were in quarantine cannot be read", "error", err)
	}
	s.tasks.Go(func() {
		q.Keep(s.work, func(err error) {
			s.cfg.Log.Error("which devices are in quarantine cannot be saved: a restart of the node would end that", "file", s.cfg.Faults, "error", err)
		})
	})
	return q
}

func (s *System) tellAll(m any) {
	for _, pid := range s.pids {
		s.system.Root.Send(pid, m)
	}
}

func (s *System) sampled(id spec.DeviceID, r device.Reading) {
	if pid := s.pids[id]; pid != nil {
		s.system.Root.Send(pid, &gpu.Sampled{Reading: r})
	}
}

func (s *System) happened(e device.Event) {
	if pid := s.pids[e.Device]; pid != nil {
		s.system.Root.Send(pid, &gpu.Faulted{Event: e})
	}
}

// Reserve tells a device of this node what waits at a gateway for one of its instances.
// It does not block.
func (s *System) Reserve(device spec.DeviceID, r spec.Reservation) {
	if pid := s.pids[device]; pid != nil && !s.closing.Load() {
		s.system.Root.Send(pid, &gpu.Waits{Reservation: r})
	}
}

// Opener serves calls on this node's devices alone.
func (s *System) Opener() spec.Opener { return opener{s} }

// Devices lists this node's devices.
func (s *System) Devices() []spec.DeviceID {
	out := make([]spec.DeviceID, len(s.devices))
	for i, d := range s.devices {
		out[i] = d.ID
	}
	return out
}

// Engines lists the presets that a deployment may name.
func (s *System) Engines() []string { return s.presets.Names() }

// Running counts the requests under way on this node's devices.
func (s *System) Running() int { return s.streams.count() }

// Command has a device of any node do what m says, and returns its answer. An
// error means that the outcome is not known, or that the node cannot be asked.
func (s *System) Command(ctx context.Context, node spec.NodeID, id spec.DeviceID, m proto.Message) (*wire.Ack, error) {
	ctx, end, err := s.calls.begin(ctx, s.work)
	if err != nil {
		return nil, err
	}
	defer end()
	address := s.cfg.Address
	if node != s.cfg.Node {
		var known bool
		if address, known = s.cfg.RemoteAddr(node); !known {
			return nil, spec.Errorf(spec.CodeNotFound, "No address is known of node %s.", node)
		}
		s.book.write(node, address)
	}
	return s.ask(ctx, node, actor.NewPID(address, string(id)), m)
}

// Quota gives a share of a limit that this node owns.
func (s *System) Quota(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	ctx, end, err := s.calls.begin(ctx, s.work)
	if err != nil {
		return nil, err
	}
	defer end()
	reply := make(chan *wire.QuotaGrant, 1)
	s.system.Root.Send(s.quota, &quota.Ask{Request: r, Reply: reply})
	select {
	case g := <-reply:
		return g, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the actor of limits has not answered: %w", ctx.Err())
	}
}

// QuotaStates tells what has changed of the limits that this node owns, as m asks;
// Reply is set here.
func (s *System) QuotaStates(ctx context.Context, m quota.Collect) ([]*wire.QuotaState, error) {
	ctx, end, err := s.calls.begin(ctx, s.work)
	if err != nil {
		return nil, err
	}
	defer end()
	reply := make(chan []*wire.QuotaState, 1)
	m.Reply = reply
	s.system.Root.Send(s.quota, &m)
	select {
	case states := <-reply:
		return states, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the actor of limits has not answered: %w", ctx.Err())
	}
}

// DrainAll has every device of this node admit no more. Requests under way go on.
func (s *System) DrainAll(ctx context.Context) {
	s.commandAll(ctx, &wire.Drain{Reason: "the node drains"})
}

// ResumeAll ends DrainAll.
func (s *System) ResumeAll(ctx context.Context) { s.commandAll(ctx, &wire.Resume{}) }

func (s *System) commandAll(ctx context.Context, m proto.Message) {
	for _, d := range s.devices {
		if _, err := s.Command(ctx, s.cfg.Node, d.ID, m); err != nil {
			s.cfg.Log.Error("device did not take a command", "device", d.ID, "error", err)
		}
	}
}

// MemberDown drops the connection to a node that has died or left.
func (s *System) MemberDown(id spec.NodeID) {
	for _, address := range s.book.strike(id) {
		s.link.drop(address)
	}
}
