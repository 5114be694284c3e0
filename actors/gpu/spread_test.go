package gpu

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/envelope"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// idleEngine starts at once, and keeps count of the memory that engines hold.
type idleEngine struct {
	stub
	on   *machine
	spec engine.Spec
	done chan struct{}
	once sync.Once
}

func (e *idleEngine) Start(context.Context) error               { return e.on.take(e.spec, 1) }
func (e *idleEngine) Done() <-chan struct{}                     { return e.done }
func (e *idleEngine) Err() error                                { return nil }
func (e *idleEngine) Healthy(context.Context) error             { return nil }
func (e *idleEngine) Load(context.Context) (engine.Load, error) { return engine.Load{}, nil }
func (e *idleEngine) Stop(context.Context) (err error) {
	e.once.Do(func() { err = e.on.take(e.spec, -1); close(e.done) })
	return err
}

// A machine is the actors of some devices of 1,000 bytes, whose engines are idle.
type machine struct {
	system  *actor.ActorSystem
	devices []device.Device
	clock   atomic.Int64
	mu      sync.Mutex
	held    map[spec.DeviceID]uint64
	starts  int
	over    string // which device was promised twice, and how far
	loads   map[string]*wire.DeviceLoad
}

func newMachine(n int) *machine {
	m := &machine{system: actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })),
		held: map[spec.DeviceID]uint64{}, loads: map[string]*wire.DeviceLoad{}}
	for i := range n {
		m.devices = append(m.devices, device.Device{ID: spec.DeviceID(fmt.Sprintf("gpu/%d", i)), Kind: "simulated", MemoryTotal: 1000})
	}
	metrics := NewMetrics(nil)
	for _, d := range m.devices {
		c := Config{Node: "n1", Device: d, Devices: m.devices, Engines: m, Seq: new(atomic.Uint64), Publish: m.publish, Metrics: metrics,
			Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(1_700_000_000, m.clock.Load()) }}
		if _, err := m.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return New(c) }), string(d.ID)); err != nil {
			panic(err)
		}
	}
	return m
}

// Check implements Engines.
func (m *machine) Check(engine.Spec) error { return nil }

// Open implements Engines.
func (m *machine) Open(s engine.Spec) (engine.Engine, error) {
	return &idleEngine{stub: stub{slots: 2}, on: m, spec: s, done: make(chan struct{})}, nil
}

func (m *machine) take(s engine.Spec, sign int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sign > 0 {
		m.starts++
	}
	for _, d := range append([]device.Device{s.Device}, s.Others...) {
		m.held[d.ID] += uint64(sign) * s.MemoryBytes
		if m.held[d.ID] > 1000 {
			m.over = fmt.Sprintf("%s, whose engines have %d of 1,000 bytes", d.ID, int64(m.held[d.ID]))
		}
	}
	return nil
}

func (m *machine) publish(d *wire.DeviceLoad) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads[d.Device] = d
}

func (m *machine) pid(i int) *actor.PID {
	return actor.NewPID(m.system.Address(), string(m.devices[i].ID))
}

// command has device i do what msg says.
func (m *machine) command(i int, msg proto.Message) *wire.Ack {
	e, err := envelope.Pack(msg, "n1", time.Time{}, nil)
	if err != nil {
		panic(err)
	}
	answer, err := m.system.Root.RequestFuture(m.pid(i), e, 10*time.Second).Result()
	if err != nil {
		panic(err)
	}
	ack, err := envelope.Open(answer.(*wire.Envelope), time.Now())
	if err != nil {
		panic(err)
	}
	return ack.(*wire.Ack)
}

// states are those of the instances that the devices tell of.
func (m *machine) states() map[string]wire.InstanceState {
	out := map[string]wire.InstanceState{}
	for i := range m.devices {
		for _, in := range m.command(i, &wire.Describe{}).GetLoad().GetInstances() {
			out[in.Instance] = in.State
		}
	}
	return out
}

func (m *machine) stop() {
	for i := range m.devices {
		_ = m.system.Root.StopFuture(m.pid(i)).Wait()
	}
	m.system.Shutdown()
}

func over(id string, epoch, bytes uint64, devices ...string) *wire.LoadModel {
	return &wire.LoadModel{Instance: id, Deployment: "d", Version: 1, Epoch: epoch, Engine: "external", MemoryBytes: bytes, Devices: devices}
}

func eventually(t fataler, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// TestSpreadTakesAllOrNothing: memory on each device before the start, and back on each at the end.
func TestSpreadTakesAllOrNothing(t *testing.T) {
	m := newMachine(3)
	defer m.stop()
	if ack := m.command(1, over("a", 1, 600, "gpu/0", "gpu/2")); ack.Code != "" {
		t.Fatal(ack)
	}
	eventually(t, "a is ready", func() bool { return m.states()["a"] == isReady })
	for i := range 3 {
		if l := m.command(i, &wire.Describe{}).GetLoad(); l.MemoryFree != 400 || len(l.Instances) != map[int]int{1: 1}[i] {
			t.Errorf("device %d: %v", i, l)
		}
	}
	// b finds room on its own device and none on another: it fails, and holds nothing anywhere.
	m.command(0, &wire.UnloadModel{Instance: "a", Epoch: 1}) // not its owner: no effect
	m.command(0, over("b", 2, 300, "gpu/1"))
	m.command(2, over("c", 3, 500, "gpu/0"))
	eventually(t, "b is ready and c has failed", func() bool {
		s := m.states()
		return s["b"] == isReady && s["c"] != loading
	})
	if s := m.states(); s["c"] == isReady || m.command(2, &wire.Describe{}).GetLoad().MemoryFree != 400 {
		t.Errorf("%v", s)
	}
	m.command(1, &wire.UnloadModel{Instance: "a", Epoch: 1, Drain: true})
	m.command(0, &wire.UnloadModel{Instance: "b", Epoch: 2, Drain: true})
	eventually(t, "all memory is back", m.empty)
}

func (m *machine) empty() bool {
	for i := range m.devices {
		if m.command(i, &wire.Describe{}).GetLoad().MemoryFree != 1000 {
			return false
		}
	}
	return true
}

func TestSpreadIsRefused(t *testing.T) {
	m := newMachine(2)
	defer m.stop()
	onDemand := over("a", 1, 1, "gpu/1")
	onDemand.OnDemand = true
	for what, l := range map[string]*wire.LoadModel{"another node's": over("b", 1, 1, "gpu/9"), "itself": over("c", 1, 1, "gpu/0"),
		"one twice": over("e", 1, 1, "gpu/1", "gpu/1"), "on demand": onDemand} {
		if ack := m.command(0, l); ack.Code == "" {
			t.Errorf("%s: %v", what, ack)
		}
	}
}

// TestSpreadGivesUp what it cannot have whole within its time.
func TestSpreadGivesUp(t *testing.T) {
	m := newMachine(2)
	defer m.stop()
	m.command(1, over("old", 1, 900))
	eventually(t, "old is ready", func() bool { return m.states()["old"] == isReady })
	reply := make(chan Admission, 1)
	m.system.Root.Send(m.pid(1), &Admit{Lease: 1, Instance: "old", Deployment: "d", Version: 1, Reply: reply})
	<-reply
	m.command(1, &wire.UnloadModel{Instance: "old", Epoch: 1, Drain: true}) // leaves, as soon as its request has ended
	m.command(0, over("a", 2, 500, "gpu/1"))
	eventually(t, "a has memory on its first device", func() bool { return m.command(0, &wire.Describe{}).GetLoad().MemoryFree == 500 })
	m.clock.Store(int64(gatherFor))
	m.system.Root.Send(m.pid(0), &Heartbeat{})
	eventually(t, "a has failed", func() bool { return m.states()["a"] == failed })
	if free := m.command(0, &wire.Describe{}).GetLoad().MemoryFree; free != 1000 {
		t.Errorf("%d bytes are free", free)
	}
	m.system.Root.Send(m.pid(1), &Release{Lease: 1})
	eventually(t, "nobody holds anything", m.empty)
}

// TestSpreadMoves: what a device holds for an instance's first owner stays held until
// its engine there has ended, though another owner asks for the same instance.
func TestSpreadMoves(t *testing.T) {
	m := newMachine(3)
	defer m.stop()
	m.command(0, over("a", 1, 600, "gpu/2"))
	eventually(t, "a is ready", func() bool { return m.states()["a"] == isReady })
	reply := make(chan Admission, 1)
	m.system.Root.Send(m.pid(0), &Admit{Lease: 1, Instance: "a", Deployment: "d", Version: 1, Reply: reply})
	<-reply
	m.command(0, &wire.UnloadModel{Instance: "a", Epoch: 1, Drain: true}) // leaves, as soon as its request has ended
	m.command(1, over("a", 2, 600, "gpu/2"))
	eventually(t, "a finds no room on its other device", func() bool {
		in := m.command(1, &wire.Describe{}).GetLoad().GetInstances()
		return len(in) == 1 && in[0].State == failed
	})
	if free := m.command(2, &wire.Describe{}).GetLoad().MemoryFree; free != 400 {
		t.Errorf("%d bytes are free", free)
	}
	m.system.Root.Send(m.pid(0), &Release{Lease: 1})
	m.command(1, &wire.UnloadModel{Instance: "a", Epoch: 2})
	eventually(t, "all memory is back", m.empty)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over != "" || m.starts != 1 {
		t.Fatalf("device %s was promised twice; %d starts", m.over, m.starts)
	}
}

// TestSpreadHearsOfItsDevices: an application's error on any of them has the engine
// start again, and the loss of one ends it and gives the others back.
func TestSpreadHearsOfItsDevices(t *testing.T) {
	m := newMachine(3)
	defer m.stop()
	starts := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.starts
	}
	m.command(1, over("a", 1, 600, "gpu/0", "gpu/2"))
	eventually(t, "a is ready", func() bool { return m.states()["a"] == isReady })
	m.system.Root.Send(m.pid(2), &Faulted{Event: device.Event{Device: "gpu/2", Kind: device.AppFault, Xid: 31}})
	eventually(t, "a is ready again", func() bool { return starts() == 2 && m.states()["a"] == isReady })
	m.system.Root.Send(m.pid(0), &Faulted{Event: device.Event{Device: "gpu/0", Kind: device.Gone, Text: "lost"}})
	eventually(t, "the memory of the others is back", func() bool {
		return m.command(1, &wire.Describe{}).GetLoad().MemoryFree == 1000 && m.command(2, &wire.Describe{}).GetLoad().MemoryFree == 1000
	})
	if s := m.states()["a"]; s == isReady {
		t.Errorf("a is %s", s)
	}
}

// TestSpreadsNeverLock: whatever is loaded and unloaded over whatever devices, no
// device is promised twice, everything comes to an end, and all memory comes back.
func TestSpreadsNeverLock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(4)
		defer m.stop()
		at := map[string]int{}
		var epoch uint64
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			epoch++
			id := fmt.Sprintf("i%d", rapid.IntRange(0, 4).Draw(t, "id"))
			if i, there := at[id]; there {
				m.command(i, &wire.UnloadModel{Instance: id, Epoch: epoch, Drain: rapid.Bool().Draw(t, "drain")})
				delete(at, id)
				continue
			}
			devices := rapid.Permutation([]string{"gpu/0", "gpu/1", "gpu/2", "gpu/3"}).Draw(t, "devices")[:rapid.IntRange(1, 4).Draw(t, "width")]
			at[id] = int(devices[0][4] - '0')
			m.command(at[id], over(id, epoch, rapid.Uint64Range(100, 700).Draw(t, "bytes"), devices[1:]...))
			if rapid.Bool().Draw(t, "pause") {
				time.Sleep(time.Duration(rapid.IntRange(0, 3).Draw(t, "ms")) * time.Millisecond)
			}
		}
		eventually(t, "everything is ready or has failed", func() bool {
			for id, s := range m.states() {
				if _, there := at[id]; there && s == loading { // no clock runs: nobody gives up
					return false
				}
			}
			return true
		})
		for id := range maps.Keys(at) {
			epoch++
			m.command(at[id], &wire.UnloadModel{Instance: id, Epoch: epoch})
		}
		eventually(t, "all memory is back", m.empty)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.over != "" {
			t.Fatalf("device %s was promised twice", m.over)
		}
	})
}
