package node

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/placement"
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
		DeadGrace: n.config.Placement.DeadGrace, DrainGrace: n.config.Placement.DrainGrace}
	d.Version = versionOf(w.Deployments, d)
	e := placement.Explain(w, seen, d, m)
	out := &gateway.Plan{Name: d.GetName(), Devices: []gateway.PlanDevice{}, Actions: []gateway.PlanAction{},
		Estimate: gateway.PlanEstimate{Bytes: e.Estimate.Bytes(), Context: e.Estimate.Context, Slots: e.Estimate.Slots, Parts: []gateway.PlanPart{}}}
	for _, p := range e.Estimate.Parts {
		out.Estimate.Parts = append(out.Estimate.Parts, gateway.PlanPart{Name: p.Name, Bytes: p.Bytes, Text: p.Text})
	}
	for _, v := range e.Verdicts {
		out.Devices = append(out.Devices, planDevice(v))
	}
	for _, a := range e.Actions {
		view := gateway.PlanAction{Action: a.Kind.String(), Instance: string(a.Instance), Node: string(a.Node), Devices: []string{}, Bytes: a.Memory, Reason: a.Reason}
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

func planDevice(v placement.Verdict) gateway.PlanDevice {
	out := gateway.PlanDevice{Node: string(v.Node), Device: string(v.Device), Region: v.Region, Kind: v.Kind, Name: v.Name, Copies: v.Replicas, Refusal: v.Refusal,
		Total: v.Total, Free: v.Free, Short: v.Short, Lacking: v.Evicts.Bytes, Evicting: []gateway.PlanLeft{}}
	for _, i := range v.Evicts.Among {
		out.Evicting = append(out.Evicting, gateway.PlanLeft{Instance: i.GetInstance(), Deployment: i.GetDeployment(), State: instanceState(i.GetState()),
			Running: i.GetRunning(), Bytes: i.GetMemoryReserved()})
	}
	return out
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
		return have.GetVersion() + 1
	}
	return 1
}
