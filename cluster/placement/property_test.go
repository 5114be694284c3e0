package placement

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

var regionNames = []string{"eu", "us", "ap"}

func drawCluster(t *rapid.T) *sim {
	s := newSim()
	for n := range rapid.IntRange(1, 6).Draw(t, "nodes") {
		var devices []uint64
		for range rapid.IntRange(0, 3).Draw(t, "devices") {
			devices = append(devices, uint64(rapid.SampledFrom([]int{8, 16, 24}).Draw(t, "gib"))*gib)
		}
		id := fmt.Sprintf("n%d", n)
		s.node(id, rapid.SampledFrom(regionNames).Draw(t, "region"), devices...)
		s.w.Nodes[n].Zone = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone")
		switch rapid.IntRange(0, 5).Draw(t, "tells") {
		case 0:
			s.tells(id, note("embedded", "external"))
		case 1:
			s.tells(id, note("external"))
		case 2:
			s.tells(id, nil)
		}
	}
	s.w.SettleAfter = time.Duration(rapid.IntRange(0, 2).Draw(t, "settle")) * time.Minute
	s.w.Still = rapid.IntRange(0, 7).Draw(t, "still") == 0
	for i := range rapid.IntRange(1, 4).Draw(t, "deployments") {
		drawWish(t, s.deploy(fmt.Sprintf("m%d", i), 0, 0))
	}
	return s
}

func drawWish(t *rapid.T, d *wire.Deployment) {
	d.Replicas = uint32(rapid.IntRange(0, 4).Draw(t, "replicas"))
	d.MinPerRegion = uint32(rapid.IntRange(0, 2).Draw(t, "min"))
	d.MemoryBytes = uint64(rapid.IntRange(1, 12).Draw(t, "memory")) * gib
	d.Regions = rapid.SliceOfDistinct(rapid.SampledFrom(regionNames), func(r string) string { return r }).Draw(t, "regions")
	d.Engine = rapid.SampledFrom([]string{"embedded", "external"}).Draw(t, "engine")
	d.Placing = drawPlacing(t)
	d.Residency, d.Gpus = nil, 0
	switch rapid.IntRange(0, 5).Draw(t, "residency and spread") {
	case 0, 1:
		d.Residency = &wire.Residency{OnDemand: true}
	case 2:
		d.Gpus = uint32(rapid.IntRange(2, 3).Draw(t, "gpus"))
	}
}

func drawPlacing(t *rapid.T) *wire.Placing {
	if rapid.IntRange(0, 2).Draw(t, "rules") > 0 {
		return nil
	}
	names := func(what, letter string, most int) (out []string) {
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, most), 0, 2, rapid.ID[int]).Draw(t, what) {
			out = append(out, fmt.Sprint(letter, i))
		}
		return out
	}
	return &wire.Placing{Pack: rapid.Bool().Draw(t, "pack"), ApartFrom: names("apart", "m", 3), Nodes: names("only", "n", 5), PreferNodes: names("rather", "n", 5)}
}

// disturb changes something, as time does.
func disturb(t *rapid.T, s *sim) {
	node := rapid.SampledFrom(s.w.Nodes).Draw(t, "node")
	switch rapid.SampledFrom([]string{"kill", "revive", "drain", "resume", "remove", "version", "wish", "undeploy", "time", "fail", "ask", "ask", "scale", "rules"}).Draw(t, "event") {
	case "kill":
		s.o.Alive[spec.NodeID(node.Id)] = false
	case "revive": // a new process: its instances are gone
		if !s.o.Alive[spec.NodeID(node.Id)] {
			s.o.Alive[spec.NodeID(node.Id)] = true
			for _, d := range s.o.Devices {
				if string(d.Node) == node.Id {
					d.Load.Instances, d.Load.MemoryFree = nil, d.Load.MemoryTotal
				}
			}
		}
	case "drain":
		node.State = wire.NodeState_NODE_STATE_DRAINING
	case "resume":
		node.State = wire.NodeState_NODE_STATE_ACTIVE
	case "remove":
		node.State = wire.NodeState_NODE_STATE_REMOVED
	case "version":
		if d := drawDeployment(t, s); d != nil {
			d.Version++
		}
	case "wish":
		if d := drawDeployment(t, s); d != nil {
			d.Version++
			drawWish(t, d)
		}
	case "scale":
		if d := drawDeployment(t, s); d != nil {
			n := rapid.Uint32Range(0, 5).Draw(t, "scaled to")
			s.w.Replicas[d.Name], s.w.Floors[d.Name] = n, rapid.Uint32Range(0, n).Draw(t, "floor")
		}
	case "rules":
		if d := drawDeployment(t, s); d != nil {
			d.Placing = drawPlacing(t)
		}
	case "undeploy":
		if len(s.w.Deployments) > 0 {
			s.w.Deployments = s.w.Deployments[1:]
		}
	case "fail":
		fail(t, s)
	case "ask":
		for _, d := range s.o.Devices {
			for _, i := range d.Load.Instances {
				if i.State == wire.InstanceState_INSTANCE_STATE_COLD && rapid.Bool().Draw(t, "ask") {
					s.wake(i)
				}
			}
		}
	case "time":
		s.o.Now = s.o.Now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "seconds")) * time.Second)
	}
	remember(s)
}

func drawDeployment(t *rapid.T, s *sim) *wire.Deployment {
	if len(s.w.Deployments) == 0 {
		return nil
	}
	return rapid.SampledFrom(s.w.Deployments).Draw(t, "deployment")
}

func fail(t *rapid.T, s *sim) {
	if len(s.w.Placements) == 0 {
		return
	}
	p := rapid.SampledFrom(s.w.Placements).Draw(t, "placement")
	for _, i := range s.device(spec.DeviceID(p.Device)).Instances {
		if i.Instance == p.Instance {
			i.State = wire.InstanceState_INSTANCE_STATE_FAILED
			s.o.Failures[FailureKey{p.Deployment, p.Version, spec.DeviceID(p.Device)}] = Failure{1, s.o.Now.Add(time.Minute)}
		}
	}
}

// remember does what the reconciler does between two plans.
func remember(s *sim) {
	down, draining := Troubled(s.w, s.o)
	keep(s.o.Down, down, s.o.Now)
	keep(s.o.Draining, draining, s.o.Now)
	keep(s.o.Usable, Usable(s.w, s.o), s.o.Now)
}

// wanted is how many replicas the deployment is to have.
func (s *sim) wanted(d *wire.Deployment) int {
	if n, ok := s.w.Replicas[d.Name]; ok {
		return int(n)
	}
	return int(d.Replicas)
}

func keep(since map[spec.DeviceID]time.Time, now map[spec.DeviceID]bool, at time.Time) {
	for id := range since {
		if !now[id] {
			delete(since, id)
		}
	}
	for id := range now {
		if _, ok := since[id]; !ok {
			since[id] = at
		}
	}
}

// A promise is what one device has promised.
type promise struct{ always, largest, held uint64 }

// promises are those before the plan: of placements that are not loaded yet,
// of those that are loaded on demand and stay, and of what these hold now.
func promises(s *sim) map[string]*promise {
	out := map[string]*promise{}
	for _, d := range s.o.Devices {
		out[d.Load.Device] = &promise{}
		for _, i := range d.Load.Instances {
			if onDemand[i.Instance] {
				out[d.Load.Device].held += i.MemoryReserved
			}
		}
	}
	for _, p := range s.w.Placements {
		loaded := slices.ContainsFunc(s.device(spec.DeviceID(p.Device)).Instances, func(i *wire.InstanceLoad) bool { return i.Instance == p.Instance })
		current := slices.ContainsFunc(s.w.Deployments, func(d *wire.Deployment) bool { return d.Name == p.Deployment && d.Version == p.Version })
		for _, id := range append([]string{p.Device}, p.Devices...) {
			switch {
			case p.OnDemand && current:
				out[id].largest = max(out[id].largest, p.MemoryBytes)
			case !p.OnDemand && !loaded:
				out[id].always += p.MemoryBytes
			}
		}
	}
	return out
}

// check fails on a plan that breaks a rule which holds in any situation.
func check(t *rapid.T, s *sim, actions []Action) {
	promised := promises(s)
	for _, a := range actions {
		if a.Kind != Place {
			continue
		}
		d := s.w.Deployments[slices.IndexFunc(s.w.Deployments, func(d *wire.Deployment) bool { return d.Name == a.Deployment })]
		if s.w.Still && a.Replaces != "" {
			t.Fatalf("%+v: a move, where a build does not know of moves", a)
		}
		if a.Version != d.Version || a.OnDemand != d.GetResidency().GetOnDemand() || len(a.Others)+1 != max(int(d.Gpus), 1) {
			t.Fatalf("%+v: not what %v wants", a, d)
		}
		for _, id := range append([]spec.DeviceID{a.Device}, a.Others...) {
			checkPlace(t, s, d, a, id, promised[string(id)])
		}
	}
	serving(t, s, actions)
}

func checkPlace(t *rapid.T, s *sim, d *wire.Deployment, a Action, id spec.DeviceID, l *promise) {
	n := s.w.Nodes[slices.IndexFunc(s.w.Nodes, func(n *wire.Node) bool { return n.Id == string(a.Node) })]
	at := slices.IndexFunc(s.o.Devices, func(d Device) bool { return d.Load.Device == string(id) && d.Node == a.Node })
	if at < 0 {
		t.Fatalf("%+v: %s is on another node", a, id)
	}
	dev := s.o.Devices[at].Load
	if a.OnDemand {
		l.largest = max(l.largest, a.Memory)
	} else {
		l.always += a.Memory
	}
	free := min(dev.MemoryFree+l.held, dev.MemoryTotal)
	switch {
	case len(d.GetPlacing().GetNodes()) > 0 && !slices.Contains(d.Placing.Nodes, n.Id):
		t.Fatalf("%+v: on none of the nodes %v", a, d.Placing.Nodes)
	case !allowed(d, n.Region):
		t.Fatalf("%+v: outside the allowed regions %v", a, d.Regions)
	case !s.o.Alive[a.Node] || n.State != wire.NodeState_NODE_STATE_ACTIVE || dev.Draining || dev.Health != "ok":
		t.Fatalf("%+v: on a node or device that may not take it", a)
	case s.o.lacks(a.Node, d.Engine) != "":
		t.Fatalf("%+v: its node %s", a, s.o.lacks(a.Node, d.Engine))
	case a.Memory > 0 && l.always+l.largest > free-min(free, dev.MemoryTotal/20):
		t.Fatalf("%+v: %d and %d on demand promised, %d of %d free", a, l.always, l.largest, free, dev.MemoryTotal)
	}
}

// serves tells whether the instance answers requests, be it after a load.
func serves(i *wire.InstanceLoad) bool {
	switch i.State {
	case wire.InstanceState_INSTANCE_STATE_READY:
		return true
	case wire.InstanceState_INSTANCE_STATE_COLD:
		return onDemand[i.Instance]
	}
	return false
}

// serving fails where the last ready instance of a wanted deployment is unloaded.
func serving(t *rapid.T, s *sim, actions []Action) {
	for _, d := range s.w.Deployments {
		left, had := 0, 0
		for _, p := range s.w.Placements {
			for _, i := range s.device(spec.DeviceID(p.Device)).Instances {
				if p.Deployment != d.Name || i.Instance != p.Instance || !serves(i) || !s.o.Alive[spec.NodeID(p.Node)] {
					continue
				}
				n := s.w.Nodes[slices.IndexFunc(s.w.Nodes, func(n *wire.Node) bool { return n.Id == p.Node })]
				if n.State == wire.NodeState_NODE_STATE_REMOVED {
					continue
				}
				had++
				if !slices.ContainsFunc(actions, func(a Action) bool { return a.Kind == Unload && string(a.Instance) == p.Instance }) {
					left++
				}
			}
		}
		if had > 0 && left == 0 && s.wanted(d) > 0 {
			t.Fatalf("the last ready instance of %s is unloaded: %+v", d.Name, actions)
		}
	}
}

func TestPlanKeepsItsRulesAndComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCluster(t)
		for range rapid.IntRange(1, 8).Draw(t, "events") {
			s.run(t, func(actions []Action) { check(t, s, actions) })
			disturb(t, s)
			for range rapid.IntRange(0, 2).Draw(t, "rounds before the next event") {
				actions := steps(s.plan())
				check(t, s, actions)
				for _, a := range actions {
					s.apply(a)
				}
				s.settle()
			}
		}
		s.run(t, func(actions []Action) { check(t, s, actions) })
		if got := steps(s.plan()); len(got) != 0 {
			t.Fatalf("at rest, planning again gives %+v", got)
		}
		complete(t, s)
	})
}

// What was placed and has not been observed yet is not placed again.
func TestPlacingIsNotRepeated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCluster(t)
		for _, a := range s.plan() {
			if a.Kind == Place {
				s.apply(a)
			}
		}
		for _, a := range s.plan() {
			if a.Kind != Load && a.Kind != Unplaced {
				t.Fatalf("got %+v, want loads alone", a)
			}
		}
	})
}

func TestPlanIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCluster(t)
		first := s.plan()
		s.o.Devices = rapid.Permutation(s.o.Devices).Draw(t, "devices")
		s.w.Nodes = rapid.Permutation(s.w.Nodes).Draw(t, "nodes")
		if got := s.plan(); fmt.Sprint(got) != fmt.Sprint(first) {
			t.Fatalf("another order of the same input: %+v, before %+v", got, first)
		}
	})
}

// complete fails where a deployment that has no excuse lacks replicas.
func complete(t *rapid.T, s *sim) {
	if len(s.o.Down)+len(s.o.Draining) > 0 { // within a grace
		return
	}
	excused := map[string]bool{}
	for _, a := range s.plan() {
		excused[a.Deployment] = true
	}
	for _, d := range s.w.Deployments {
		if n := s.ready(d.Name); n < s.wanted(d) && !excused[d.Name] {
			t.Fatalf("at rest, %s has %d ready instances of %d, and nothing says why", d.Name, n, s.wanted(d))
		}
	}
}
