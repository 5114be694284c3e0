package reconcile

import (
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// aheadFor is how long it is tried to load what is newly wanted ahead of its requests.
const aheadFor = 2 * time.Minute

// A rise is that more replicas are wanted of a deployment that is loaded on demand.
type rise struct {
	wanted int
	until  time.Time
}

// rose notes that so many are wanted now, which are more than were.
func (t *term) rose(d *wire.Deployment, wanted int, now time.Time) {
	if d.GetResidency().GetOnDemand() {
		t.rises[d.GetName()] = rise{wanted, now.Add(aheadFor)}
	}
}

// ahead lists what is to be loaded before a request waits for it: as many replicas as
// have come to be wanted, where a device has the memory free. Once all are, it is
// left to requests: one that finds none is unloaded after its keep-alive, and not loaded again.
// A canary's are loaded as long as it is there: no request waits for one while others serve.
func (t *term) ahead(w placement.Wanted, o placement.Observed) (out []placement.Action) {
	tried := canaries(w)
	if len(t.rises)+len(tried) == 0 {
		return nil
	}
	versions, loads, free := map[string]uint64{}, map[string]*wire.InstanceLoad{}, map[string]uint64{}
	for _, d := range w.Deployments {
		versions[d.GetName()] = d.GetVersion()
	}
	for _, d := range o.Devices {
		if !o.Alive[d.Node] {
			continue
		}
		if !d.Load.GetDraining() {
			free[d.Load.GetDevice()] = d.Load.GetMemoryFree()
		}
		for _, i := range d.Load.GetInstances() {
			loads[i.GetInstance()] = i
		}
	}
	loaded, cold := map[string]int{}, map[string][]*wire.Placement{}
	for _, p := range w.Placements {
		name := p.GetDeployment()
		if tried[version{name, p.GetVersion()}] != nil && p.GetOnDemand() && loads[p.GetInstance()].GetState() == wire.InstanceState_INSTANCE_STATE_COLD {
			if bytes := p.GetMemoryBytes(); free[p.GetDevice()] >= bytes {
				free[p.GetDevice()] -= bytes
				out = append(out, warm(p))
			}
			continue
		}
		if _, rises := t.rises[name]; !rises || p.GetVersion() != versions[name] || !p.GetOnDemand() {
			continue
		}
		switch loads[p.GetInstance()].GetState() {
		case wire.InstanceState_INSTANCE_STATE_READY, wire.InstanceState_INSTANCE_STATE_LOADING, wire.InstanceState_INSTANCE_STATE_RESTARTING:
			loaded[name]++
		case wire.InstanceState_INSTANCE_STATE_COLD:
			cold[name] = append(cold[name], p)
		}
	}
	for name, r := range t.rises {
		if loaded[name] >= r.wanted || versions[name] == 0 || o.Now.After(r.until) {
			delete(t.rises, name)
			continue
		}
		lacks := r.wanted - loaded[name]
		for _, p := range cold[name] {
			if lacks == 0 {
				break
			}
			if bytes := p.GetMemoryBytes(); free[p.GetDevice()] >= bytes {
				free[p.GetDevice()] -= bytes
				lacks--
				out = append(out, warm(p))
			}
		}
	}
	return out
}

func warm(p *wire.Placement) placement.Action {
	return placement.Action{Kind: placement.Warm, Deployment: p.GetDeployment(), Version: p.GetVersion(), Instance: spec.InstanceID(p.GetInstance()),
		Epoch: p.GetEpoch(), Node: spec.NodeID(p.GetNode()), Device: spec.DeviceID(p.GetDevice()), Memory: p.GetMemoryBytes(), OnDemand: true,
		Reason: "more are wanted than are loaded"}
}
