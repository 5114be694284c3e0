package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const gib = 1 << 30

// world is a cluster as the loop sees it: a state that agrees at once, and
// devices that take a second to load. It has the time of the test's bubble.
type world struct {
	t *testing.T

	mu          sync.Mutex
	nodes       []*wire.Node
	deployments []*wire.Deployment
	placements  []*wire.Placement
	models      []*wire.Model
	alive       map[spec.NodeID]bool
	devices     map[spec.DeviceID]*machine
	index       uint64
	looks       int // of Observed

	proposed []*wire.Command
	sent     []sending
	running  map[string]int // commands under way, by device, instance and kind
	most     int            // of all at a time
	underWay int

	propose func(c *wire.Command) error                                       // fails a write
	command func(ctx context.Context, d spec.DeviceID, m proto.Message) error // fails a command, or takes its time
}

type machine struct {
	node      spec.NodeID
	memory    uint64
	instances map[string]*loaded
}

type loaded struct {
	*wire.LoadModel
	ready time.Time
	state wire.InstanceState // set: whatever the time
}

// sending is one command that came to a device.
type sending struct {
	at     time.Time
	device spec.DeviceID
	m      proto.Message
}

func newWorld(t *testing.T, nodes ...string) *world {
	w := &world{t: t, alive: map[spec.NodeID]bool{}, devices: map[spec.DeviceID]*machine{}, running: map[string]int{}}
	for _, id := range nodes {
		w.nodes = append(w.nodes, &wire.Node{Id: id, Region: "eu", Roles: []string{"worker"}, State: wire.NodeState_NODE_STATE_ACTIVE})
		w.alive[spec.NodeID(id)] = true
		w.devices[spec.DeviceID("gpu/"+id)] = &machine{node: spec.NodeID(id), memory: 16 * gib, instances: map[string]*loaded{}}
	}
	return w
}

func (w *world) config() Config {
	return Config{State: w, Observed: w.observed, Propose: w.Propose, Command: w.Command}
}

// run runs a Reconciler until the test ends or stop is called.
func (w *world) run(c Config) (r *Reconciler, stop func()) {
	r = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	stop = func() { cancel(); <-ended }
	w.t.Cleanup(stop)
	return r, stop
}

func locked[T any](w *world, fn func() T) T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fn()
}

func (w *world) change(fn func()) { locked(w, func() any { fn(); return nil }) }

func (w *world) Nodes() []*wire.Node {
	return locked(w, func() []*wire.Node { return slices.Clone(w.nodes) })
}
func (w *world) Deployments() []*wire.Deployment {
	return locked(w, func() []*wire.Deployment { return slices.Clone(w.deployments) })
}
func (w *world) Placements() []*wire.Placement {
	return locked(w, func() []*wire.Placement { return slices.Clone(w.placements) })
}
func (w *world) Models() []*wire.Model {
	return locked(w, func() []*wire.Model { return slices.Clone(w.models) })
}

// deploy wants so many replicas of a version.
func (w *world) deploy(name string, version uint64, replicas uint32) {
	w.change(func() {
		w.deployments = slices.DeleteFunc(slices.Clone(w.deployments), func(d *wire.Deployment) bool { return d.Name == name })
		w.deployments = append(w.deployments, &wire.Deployment{Name: name, Version: version, Engine: "embedded", Replicas: replicas, MemoryBytes: gib})
	})
}

func (w *world) Propose(_ context.Context, c *wire.Command) (*wire.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proposed = append(w.proposed, c)
	if w.propose != nil {
		if err := w.propose(c); err != nil {
			return nil, err
		}
	}
	return w.applyLocked(c), nil
}

func (w *world) applyLocked(c *wire.Command) *wire.Result {
	w.index++
	switch b := c.Body.(type) {
	case *wire.Command_PutPlacement:
		p := proto.CloneOf(b.PutPlacement.Placement)
		p.Epoch = w.index
		w.placements = append(slices.Clone(w.placements), p)
	case *wire.Command_RemovePlacement:
		before := len(w.placements)
		w.placements = slices.DeleteFunc(slices.Clone(w.placements), func(p *wire.Placement) bool { return p.Instance == b.RemovePlacement.Instance })
		if len(w.placements) == before {
			return &wire.Result{Index: w.index, Code: string(spec.CodeNotFound), Message: "no such placement"}
		}
	case *wire.Command_EndCanary:
		w.deployments = slices.Clone(w.deployments)
		for i, d := range w.deployments {
			if d = proto.CloneOf(d); d.Name == b.EndCanary.Deployment && d.Tries(b.EndCanary.Version) {
				if b.EndCanary.Promote {
					d.Run(d.Canary.Runs)
				}
				d.Canary = nil
				w.deployments[i] = d
			}
		}
	default:
		w.t.Errorf("the loop proposed %T", b)
	}
	return &wire.Result{Index: w.index}
}

func (w *world) Command(ctx context.Context, node spec.NodeID, device spec.DeviceID, m proto.Message) (*wire.Ack, error) {
	key := fmt.Sprintf("%s %T %s", device, m, m.(interface{ GetInstance() string }).GetInstance())
	w.mu.Lock()
	w.sent = append(w.sent, sending{time.Now(), device, m})
	w.running[key]++
	w.underWay++
	w.most = max(w.most, w.underWay)
	if w.running[key] > 1 {
		w.t.Errorf("%s is under way twice", key)
	}
	command, d := w.command, w.devices[device]
	w.mu.Unlock()
	defer w.change(func() { w.running[key]--; w.underWay-- })
	time.Sleep(time.Millisecond) // the network
	if command != nil {
		if err := command(ctx, device, m); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if d == nil || d.node != node || !w.alive[node] {
		return nil, fmt.Errorf("node %s is not reached", node)
	}
	switch m := m.(type) {
	case *wire.LoadModel:
		d.instances[m.Instance] = &loaded{LoadModel: m, ready: time.Now().Add(time.Second)}
	case *wire.UnloadModel:
		delete(d.instances, m.Instance)
	}
	return &wire.Ack{}, nil
}

func (w *world) observed() placement.Observed {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	o := placement.Observed{Alive: map[spec.NodeID]bool{}}
	for id, alive := range w.alive {
		o.Alive[id] = alive
	}
	for id, d := range w.devices {
		load := &wire.DeviceLoad{Device: string(id), Kind: "simulated", MemoryTotal: d.memory, MemoryFree: d.memory, Health: "ok"}
		for _, i := range d.instances {
			state := i.state
			if state == 0 {
				state = wire.InstanceState_INSTANCE_STATE_LOADING
				if !time.Now().Before(i.ready) {
					state = wire.InstanceState_INSTANCE_STATE_READY
				}
			}
			load.MemoryFree -= i.MemoryBytes
			load.Instances = append(load.Instances, &wire.InstanceLoad{Instance: i.Instance, Deployment: i.Deployment, Version: i.Version, Epoch: i.Epoch, State: state})
		}
		o.Devices = append(o.Devices, placement.Device{Node: d.node, Load: load, At: time.Now()})
	}
	return o
}

// ready counts the instances of a version that serve on living nodes.
func (w *world) ready(name string, version uint64) int {
	return locked(w, func() (n int) {
		for _, d := range w.devices {
			for _, i := range d.instances {
				if i.Deployment == name && i.Version == version && i.state == 0 && !time.Now().Before(i.ready) && w.alive[d.node] {
					n++
				}
			}
		}
		return n
	})
}

// instances counts what devices hold, and placements.
func (w *world) held() (instances, placements int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		instances += len(d.instances)
	}
	return instances, len(w.placements)
}

func (w *world) log() []sending { return locked(w, func() []sending { return slices.Clone(w.sent) }) }
func (w *world) writes() []*wire.Command {
	return locked(w, func() []*wire.Command { return slices.Clone(w.proposed) })
}
