package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// readiness is why the node should get no clients yet. It is a latch: once the
// node has been ready, only a drain takes clients away again, since the answers
// to a lost leader or a dead engine lie elsewhere than in turning clients away.
type readiness struct {
	done atomic.Bool
	why  atomic.Pointer[string]
}

func (r *readiness) check() error {
	if r.done.Load() {
		return nil
	}
	if why := r.why.Load(); why != nil {
		return errors.New(*why)
	}
	return errors.New("it is starting")
}

// awaitReady watches the start: the state must be current, and what is placed
// on this node loaded, or given up.
func (n *Node) awaitReady(ctx context.Context) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		why := n.unready()
		if why == "" {
			n.ready.done.Store(true)
			n.log.Info("node is ready")
			return
		}
		n.ready.why.Store(&why)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// freshEnough is the age of a copy of the state that nobody need worry about.
const freshEnough = 2 * time.Second

func (n *Node) unready() string {
	if err := n.db.Health(); err != nil {
		return err.Error()
	}
	if age := n.stateAge(); age > freshEnough {
		why := "its copy of the state is not known to be current"
		if err := n.following(); err != nil {
			why += ": " + err.Error()
		}
		return why
	}
	self, ok := n.state.Node(string(n.id))
	if !ok {
		return "the state has no record of it yet"
	}
	if self.GetState() != wire.NodeState_NODE_STATE_ACTIVE {
		return "its record says " + stateName(self.GetState())
	}
	settled := map[string]bool{}
	for _, d := range n.observed.devices() {
		for _, i := range d.Load.GetInstances() {
			switch i.GetState() {
			case wire.InstanceState_INSTANCE_STATE_READY, wire.InstanceState_INSTANCE_STATE_FAILED, wire.InstanceState_INSTANCE_STATE_COLD:
				settled[i.GetInstance()] = true
			}
		}
	}
	for _, p := range n.state.Placements() {
		if p.GetNode() == string(n.id) && !settled[p.GetInstance()] && time.Since(time.UnixMilli(int64(n.boot))) < time.Minute {
			return fmt.Sprintf("instance %s of %s is being loaded", p.GetInstance(), p.GetDeployment())
		}
	}
	return ""
}
