package node

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// Plan tells what the leader would do about the deployment, from what this node
// knows. The leader's memory of failures is not here; devices tell of most.
func (o operations) Plan(_ context.Context, d *wire.Deployment, m *wire.Model) (*gateway.Plan, error) {
	n := o.n
	seen := n.observation()
	seen.Now = time.Now()
	w := placement.Wanted{Deployments: n.state.Deployments(), Placements: n.state.Placements(), Nodes: n.state.Nodes(), Models: n.state.Models(),
		DeadGrace: n.config.Placement.DeadGrace, DrainGrace: n.config.Placement.DrainGrace, Still: n.census.level() < placement.MovesLevel}
	besides(w.Deployments, d)
	d.Version = versionOf(w.Deployments, d)
	for i, x := range w.Deployments {
		w.Deployments[i] = n.asScaled(x, w.Placements)
	}
	d = n.asScaled(d, w.Placements)
	e := placement.Explain(w, seen, d, m)
	out := &gateway.Plan{Name: d.GetName(), Devices: []gateway.PlanDevice{}, Actions: []gateway.PlanAction{},
		Estimate: gateway.PlanEstimate{Bytes: e.Estimate.Bytes(), Context: e.Estimate.Context, Slots: e.Estimate.Slots, Parts: []gateway.PlanPart{}}}
	for _, p := range e.Estimate.Parts {
		out.Estimate.Parts = append(out.Estimate.Parts, gateway.PlanPart{Name: p.Name, Bytes: p.Bytes, Text: p.Text})
	}
	for _, v := range e.Verdicts {
		view := planDevice(v)
		evictions(&view, v, d, w.Deployments)
		out.Devices = append(out.Devices, view)
	}
	for _, a := range e.Actions {
		view := gateway.PlanAction{Action: a.Kind.String(), Instance: string(a.Instance), Replaces: string(a.Replaces), Node: string(a.Node), Devices: []string{}, Bytes: a.Memory, Reason: a.Reason}
		if a.Device != "" {
			view.Devices = append(view.Devices, string(a.Device))
		}
		for _, id := range a.Others {
			view.Devices = append(view.Devices, string(id))
		}
		out.Actions = append(out.Actions, view)
	}
	return out, nil
}

// asScaled is d with as many replicas as the leader would go on with where d is scaled.
func (n *Node) asScaled(d *wire.Deployment, placements []*wire.Placement) *wire.Deployment {
	if d.GetScale() == nil {
		return d
	}
	placed := 0
	for _, p := range placements {
		if p.GetDeployment() == d.GetName() && !d.Tries(p.GetVersion()) {
			placed++
		}
	}
	d = proto.CloneOf(d)
	d.Replicas = uint32(max(scale.Began(d, placed, time.Now()), 1))
	return d
}

func planDevice(v placement.Verdict) gateway.PlanDevice {
	out := gateway.PlanDevice{Node: string(v.Node), Device: string(v.Device), Region: v.Region, Kind: v.Kind, Name: v.Name, Copies: v.Replicas, Refusal: v.Refusal,
		Needs: v.Needs, Source: memorySource(v.Source), Learnt: v.Learnt.Bytes, Loads: v.Learnt.Loads, Total: v.Total, Free: v.Free, Short: v.Short, Lacking: v.Evicts.Bytes, WouldEvict: []gateway.PlanLeft{}, Standing: v.Standing}
	if v.Evicts.Bytes > 0 {
		out.FactsMS = v.Evicts.At.UnixMilli()
	}
	return out
}

// evictions adds whom the device would unload for a copy of d: it is asked as the
// device asks itself, with what its digest tells. Where none may go yet, those are
// named that would once their requests have ended.
func evictions(out *gateway.PlanDevice, v placement.Verdict, d *wire.Deployment, all []*wire.Deployment) {
	if v.Evicts.Bytes == 0 {
		return
	}
	least := map[string]time.Duration{}
	for _, x := range all {
		least[x.GetName()] = time.Duration(x.GetResidency().GetMinResidentMs()) * time.Millisecond
	}
	young := !d.GetResidency().GetOnDemand()
	var candidates []memory.Candidate
	told := map[spec.InstanceID]*wire.InstanceLoad{}
	for _, i := range v.Evicts.Among {
		if i.GetState() != wire.InstanceState_INSTANCE_STATE_DRAINING {
			told[spec.InstanceID(i.GetInstance())] = i
			candidates = append(candidates, memory.Told(i, v.Evicts.At, true, least[i.GetDeployment()], young))
		}
	}
	victims, refusal := memory.Evict(candidates, v.Evicts.Bytes, v.Evicts.At, memory.DefaultPolicy)
	if refusal != nil {
		out.Waits = refusal.Error()
		for i := range candidates {
			candidates[i].Leases, candidates[i].Ready = 0, v.Evicts.At.Add(-time.Hour)
		}
		victims, _ = memory.Evict(candidates, v.Evicts.Bytes, v.Evicts.At, memory.DefaultPolicy)
	}
	for _, c := range victims {
		i := told[c.ID]
		out.WouldEvict = append(out.WouldEvict, gateway.PlanLeft{Instance: i.GetInstance(), Deployment: i.GetDeployment(), State: instanceState(i.GetState()),
			Running: i.GetRunning(), Bytes: i.GetMemoryReserved()})
	}
}

func memorySource(s wire.MemorySource) string {
	switch s {
	case wire.MemorySource_MEMORY_SOURCE_STATED:
		return "stated"
	case wire.MemorySource_MEMORY_SOURCE_LEARNT:
		return "learnt"
	}
	return "estimated"
}

// besides gives d what the deployment in force has beside what is asked for.
func besides(all []*wire.Deployment, d *wire.Deployment) {
	for _, have := range all {
		if have.GetName() == d.GetName() {
			d.Canary, d.LastVersion, d.GivenUp = have.GetCanary(), have.GetLastVersion(), have.GetGivenUp()
		}
	}
}

// versionOf is the version that the deployment would get: that of the one in
// force, if it is the same.
func versionOf(all []*wire.Deployment, d *wire.Deployment) uint64 {
	for _, have := range all {
		if have.GetName() != d.GetName() {
			continue
		}
		same := proto.Clone(d).(*wire.Deployment)
		same.Version, same.CreatedMs, same.ChangedMs = have.GetVersion(), have.GetCreatedMs(), have.GetChangedMs()
		if proto.Equal(same, have) {
			return have.GetVersion()
		}
		return have.Newest() + 1
	}
	return 1
}
