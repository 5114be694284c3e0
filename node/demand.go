package node

import (
	"context"
	"maps"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/gossip"
	"github.com/lotabots/lotabots/cluster/scale"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	demandEvery = time.Second
	demandStale = 5 * time.Second // after which what a gateway has told is not believed any more
)

// demands is what gateways have told of their requests, for the leader to scale by.
type demands struct {
	mu struct {
		sync.Mutex
		by map[spec.NodeID]*toldDemands
	}
}

type toldDemands struct {
	boot   uint64
	of     map[string]toldDemand
	trials map[string]toldTrial
}

type toldDemand struct {
	*wire.Demand // not changed any more
	at           time.Time
}

func newDemands() *demands {
	d := &demands{}
	d.mu.by = map[spec.NodeID]*toldDemands{}
	return d
}

// heard takes in what a digest tells.
func (d *demands) heard(l *wire.LoadDigest, now time.Time) {
	if len(l.GetDemands())+len(l.GetTrials()) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.mu.by[spec.NodeID(l.GetNode())]
	if t == nil || t.boot < l.GetBoot() {
		t = &toldDemands{boot: l.GetBoot(), of: map[string]toldDemand{}, trials: map[string]toldTrial{}}
		d.mu.by[spec.NodeID(l.GetNode())] = t
	}
	if t.boot > l.GetBoot() {
		return
	}
	for _, w := range l.GetDemands() {
		t.of[w.GetDeployment()] = toldDemand{w, now}
	}
	if len(l.GetTrials()) > 0 {
		maps.DeleteFunc(t.trials, func(_ string, w toldTrial) bool { return now.Sub(w.at) > trialStale })
	}
	for _, w := range l.GetTrials() {
		t.trials[w.GetDeployment()] = toldTrial{w, now}
	}
}

func (d *demands) forget(id spec.NodeID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.by, id)
}

// sum is what all gateways tell, by deployment.
func (d *demands) sum(now time.Time) map[string]scale.Demand {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]scale.Demand{}
	for _, t := range d.mu.by {
		for name, w := range t.of {
			if now.Sub(w.at) > demandStale {
				delete(t.of, name)
				continue
			}
			s := out[name]
			s.Add(w.Demand)
			out[name] = s
		}
	}
	return out
}

// tellDemands tells voters, of which one leads, what is asked of this node's gateway for
// deployments that are scaled, and how requests of those with a canary have fared.
func (n *Node) tellDemands(ctx context.Context) {
	tick := time.NewTicker(demandEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g := n.routing.Load()
		if g == nil {
			continue
		}
		var scaled []*wire.Demand
		for _, w := range g.Table().Demands() {
			if d, ok := n.state.Deployment(w.GetDeployment()); ok && d.GetScale() != nil {
				scaled = append(scaled, w)
			}
		}
		for _, d := range packed(&wire.LoadDigest{Node: string(n.id), Boot: n.boot, Note: n.notes.hash()}, scaled) {
			n.tellVoters(d)
		}
		for _, w := range g.Trials(n.tries) {
			n.tellVoters(&wire.LoadDigest{Node: string(n.id), Boot: n.boot, Note: n.notes.hash(), Trials: []*wire.Trial{w}})
		}
	}
}

// tellVoters brings a digest to every living voter, this one too.
func (n *Node) tellVoters(d *wire.LoadDigest) {
	n.demands.heard(d, time.Now())
	raw, err := proto.Marshal(d)
	if err != nil {
		n.log.Error("what is asked for cannot be encoded", "error", err)
		return
	}
	for _, m := range n.gossip.Members() {
		if m.ID == n.id || !votes(m) {
			continue
		}
		if err := n.gossip.SendDigest(m.ID, raw); err != nil {
			n.log.Debug("what is asked for was not told", "to", m.ID, "error", err) // the next follows within a second
		}
	}
}

func votes(m gossip.Member) bool {
	for _, r := range m.Roles {
		if r == spec.RoleVoter {
			return true
		}
	}
	return false
}

// packed puts demands into as few digests like head as have room for them.
func packed(head *wire.LoadDigest, demands []*wire.Demand) []*wire.LoadDigest {
	var out []*wire.LoadDigest
	room := 0
	for _, w := range demands {
		one := proto.Size(&wire.LoadDigest{Demands: []*wire.Demand{w}})
		if one > room {
			out = append(out, proto.CloneOf(head))
			room = gossip.MaxDigest - proto.Size(head)
		}
		last := out[len(out)-1]
		last.Demands = append(last.Demands, w)
		room -= one
	}
	return out
}
