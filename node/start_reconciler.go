package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/reconcile"
	"github.com/lotabots/lotabots/cluster/rollout"
	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/storage/state"
)

// startReconciler makes a voter keep instances as wanted for as long as it leads.
func (n *Node) startReconciler(context.Context) error {
	if n.raft == nil {
		return nil
	}
	n.loop = reconcile.New(reconcile.Config{
		State: n.state, Observed: n.observation, Propose: n.raft.Propose, Command: n.actors.Command, Barrier: n.raft.Barrier,
		Level:     n.census.level,
		Demand:    func() map[string]scale.Demand { return n.demands.sum(time.Now()) },
		Trials:    func() map[string]rollout.Trial { return n.demands.trials(time.Now()) },
		DeadGrace: n.config.Placement.DeadGrace, DrainGrace: n.config.Placement.DrainGrace, Settle: n.config.Placement.SettleTime, Log: n.log, Registerer: n.metrics,
	})
	cancel := n.state.Subscribe(func(c state.Change) {
		if c.Reset || slices.ContainsFunc(c.Records, placed) {
			n.loop.Wake()
		}
	})
	n.onStop("reconciler's view", func(context.Context) error { cancel(); return nil })
	n.background("reconciler", n.lead)
	return nil
}

// placed tells whether the record has a say in where instances run.
func placed(r state.Ref) bool {
	switch r.Kind {
	case state.KindDeployment, state.KindPlacement, state.KindModel, state.KindNode:
		return true
	}
	return false
}

// lead runs the reconciler from each gain of the leadership to its loss.
func (n *Node) lead(ctx context.Context) {
	var running sync.WaitGroup
	end := func() {}
	defer func() { end(); running.Wait() }()
	for {
		select {
		case <-ctx.Done():
			return
		case leads := <-n.raft.LeaderChanges():
			end()
			running.Wait()
			n.log.Info("leadership", "leads", leads, "term", n.raft.Term())
			if !leads {
				end = func() {}
				continue
			}
			term, stop := context.WithCancel(ctx)
			end = stop
			running.Go(func() { n.loop.Run(term) })
		}
	}
}

// observation is what this node knows of the devices, in the planner's words.
func (n *Node) observation() placement.Observed {
	o := placement.Observed{Alive: map[spec.NodeID]bool{n.id: true}, Notes: n.notes.all()}
	for _, m := range n.gossip.Members() {
		o.Alive[m.ID] = true
	}
	for _, d := range n.observed.devices() {
		o.Devices = append(o.Devices, placement.Device{Node: d.Node, Load: d.Load, At: d.At})
	}
	return o
}
