package reconcile

import (
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/wire"
)

// scale tells w how many replicas are wanted now of the deployments that are scaled, and
// how many they must have.
func (t *term) scale(w *placement.Wanted, o placement.Observed) {
	w.Replicas, w.Floors = map[string]uint32{}, map[string]uint32{}
	kept, samples := map[string]bool{}, map[string]*scale.Sample{}
	for _, d := range w.Deployments {
		if d.GetScale() == nil {
			continue
		}
		if len(kept) == 0 {
			samples = t.sampled(*w, o)
		}
		kept[d.GetName()] = true
		s := samples[d.GetName()]
		if s == nil {
			s = &scale.Sample{At: o.Now}
		}
		began := scale.Began(d, standing(w.Placements, d), o.Now)
		was, known := t.wanted[d.GetName()]
		decision, changed := t.scaler.Look(d, *s, began)
		t.wanted[d.GetName()] = decision.Wanted
		if changed && !known {
			was = began
		}
		if changed && decision.Wanted > was {
			t.rose(d, decision.Wanted, o.Now)
		}
		if changed {
			t.tellChange(d, was, decision)
		}
		t.metrics.wanted.WithLabelValues(d.GetName()).Set(float64(decision.Wanted))
		w.Replicas[d.GetName()], w.Floors[d.GetName()] = replicasOf(d, decision.Wanted), replicasOf(d, decision.Min)
	}
	for name := range t.wanted {
		if !kept[name] {
			delete(t.wanted, name)
			t.metrics.wanted.DeleteLabelValues(name)
		}
	}
	t.scaler.Keep(func(name string) bool { return kept[name] })
	t.tellScales(t.scaler.States())
}

// standing is how many places the deployment has, of all versions but its canary's, and but for those
// that another takes over: what its replicas were before whatever is under way.
func standing(placements []*wire.Placement, d *wire.Deployment) (n int) {
	for _, p := range placements {
		if p.GetDeployment() == d.GetName() && !d.Tries(p.GetVersion()) && p.GetReplaces() == "" {
			n++
		}
	}
	return n
}

// replicasOf is how many places so many replicas take: one that is loaded on demand has
// its place also while none is wanted, so that a request can have it loaded.
func replicasOf(d *wire.Deployment, wanted int) uint32 {
	if d.GetResidency().GetOnDemand() {
		wanted = max(wanted, 1)
	}
	return uint32(max(wanted, 0))
}

// A version is one of a deployment.
type version struct {
	deployment string
	version    uint64
}

// canaries is the deployments that have one, by it.
func canaries(w placement.Wanted) map[version]*wire.Deployment {
	out := map[version]*wire.Deployment{}
	for _, d := range w.Deployments {
		if c := d.GetCanary(); c != nil {
			out[version{d.GetName(), c.GetRuns().GetVersion()}] = d
		}
	}
	return out
}

// sampled is what is seen of each deployment that has a place or is asked for.
func (t *term) sampled(w placement.Wanted, o placement.Observed) map[string]*scale.Sample {
	out := map[string]*scale.Sample{}
	of := func(name string) *scale.Sample {
		if out[name] == nil {
			out[name] = &scale.Sample{At: o.Now}
		}
		return out[name]
	}
	placed, tried := map[version]int{}, canaries(w)
	for _, p := range w.Placements {
		v := version{p.GetDeployment(), p.GetVersion()}
		if tried[v] != nil {
			continue
		}
		placed[v]++
		s := of(v.deployment)
		s.Placed = max(s.Placed, placed[v]) // those that replace others take no more than these did
	}
	for _, d := range o.Devices {
		for _, i := range d.Load.GetInstances() {
			if o.Alive[d.Node] {
				add(of(i.GetDeployment()), d.Load, i, tried[version{i.GetDeployment(), i.GetVersion()}] != nil)
			}
		}
	}
	if t.cfg.Demand != nil {
		for name, d := range t.cfg.Demand() {
			of(name).Demand = d
		}
	}
	for name := range t.squeezed {
		of(name).Squeezed = true
	}
	return out
}

// add counts what a device tells of an instance. What a canary's does counts, and its place
// does not: once that is given up, its requests are the others' too.
func add(s *scale.Sample, d *wire.DeviceLoad, i *wire.InstanceLoad, tried bool) {
	if load := i.GetLoadSeconds(); load > 0 && load < float32(time.Hour.Seconds()) {
		s.Load = max(s.Load, time.Duration(float64(load)*float64(time.Second)))
	}
	s.Running += int(i.GetRunning())
	if i.GetShares() > 0 { // those that go together hold slots too, many to one
		s.Running += int((uint64(i.GetSharing())*uint64(i.GetSlots()) + uint64(i.GetShares()) - 1) / uint64(i.GetShares()))
	}
	s.Queued += int(i.GetQueued())
	if tps := float64(i.GetTokensPerSecond()); tps > 0 {
		s.Tokens += tps
	}
	if i.GetState() == wire.InstanceState_INSTANCE_STATE_READY && !d.GetDraining() && !tried {
		s.Ready++
		s.Slots += int(i.GetSlots())
	}
}

// tellChange logs and counts that another number of replicas is wanted.
func (t *term) tellChange(d *wire.Deployment, was int, now scale.Decision) {
	direction := "up"
	if now.Wanted < was {
		direction = "down"
	}
	t.metrics.changes.WithLabelValues(d.GetName(), direction, string(now.Reason)).Inc()
	t.cfg.Log.Info("replicas are scaled", "deployment", d.GetName(), "from", was, "to", now.Wanted, "min", now.Min, "max", now.Max,
		"reason", string(now.Reason), "because", now.Text)
}

func (r *Reconciler) tellScales(states []scale.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.scales = states
}

// Scales lists how many replicas are wanted of the deployments that are scaled, and why,
// while this node leads.
func (r *Reconciler) Scales() []scale.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]scale.State(nil), r.mu.scales...)
}
