package balance

import (
	"cmp"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A View is an instance as this gateway sees it at one moment.
type View struct {
	spec.Target
	Deployment  string
	Region      string
	State       wire.InstanceState
	Slots       int
	Own         int     // requests of this gateway's that are under way on it
	Load        int     // all requests on it, as far as this gateway can tell
	Queued      int     // as last told
	KVUse       float64 // 0 to 1
	Backlog     float64 // seconds
	Utilisation int     // of its device, in percent, as last told
	Heard       time.Duration
	Breaker     BreakerState
	Opened      int // how often the breaker has
}

// Views lists the instances, by their ids.
func (t *Table) Views() []View {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, out := t.cfg.Now(), make([]View, 0, len(t.mu.instances))
	for _, in := range t.mu.instances {
		out = append(out, View{Target: in.Target, Deployment: in.Deployment, Region: in.node.Region, State: in.State,
			Slots: in.Slots, Own: in.own, Load: in.load(), Queued: in.Queued, KVUse: in.KVUse, Backlog: in.Backlog,
			Utilisation: in.utilisation, Heard: now.Sub(in.heard), Breaker: in.breaker.state(now), Opened: in.breaker.opened})
	}
	slices.SortFunc(out, func(a, b View) int { return cmp.Compare(a.Target.Instance, b.Target.Instance) })
	return out
}

// Queues counts the requests that wait, by deployment.
func (t *Table) Queues() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]int, len(t.mu.pools))
	for name, p := range t.mu.pools {
		out[name] = p.queue.Len()
	}
	return out
}
