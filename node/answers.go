package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/lotabots/lotabots/actors/answers"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/state"
)

// keepAnswers has this node's devices drop the answers that the state says are not to be
// kept any more. What is applied before the actors are there finds none kept.
func (n *Node) keepAnswers() {
	cancel := n.state.Subscribe(n.dropAnswers)
	n.keepVersions()
	n.onStop("kept answers", func(context.Context) error { cancel(); return nil })
}

func (n *Node) dropAnswers(c state.Change) {
	if c.Reset { // what was purged meanwhile is not told
		n.actors.PurgeAnswers(answers.Match{})
		n.keepVersions()
		return
	}
	for _, ref := range c.Records {
		switch ref.Kind {
		case state.KindSetting:
			if ref.ID == spec.SettingCachePurge {
				n.purgeAnswers()
			}
		case state.KindDeployment:
			d, _ := n.state.Deployment(ref.ID)
			n.actors.KeepAnswers(ref.ID, answering(d)...)
		case state.KindTenant:
			if _, there := n.state.Tenant(ref.ID); !there { // another may come by its name
				n.actors.PurgeAnswers(answers.Match{Tenant: ref.ID})
			}
		}
	}
}

// keepVersions tells the devices of all deployments with a canary: those whose answers are of two versions.
func (n *Node) keepVersions() {
	for _, d := range n.state.Deployments() {
		if d.GetCanary() != nil {
			n.actors.KeepAnswers(d.GetName(), answering(d)...)
		}
	}
}

// answering is the versions of which answers are kept; none: it is gone, or keeps none.
func answering(d *wire.Deployment) (versions []uint64) {
	if d.GetCache() == nil {
		return nil
	}
	versions = append(versions, d.GetVersion())
	if c := d.GetCanary(); c != nil {
		versions = append(versions, c.GetRuns().GetVersion())
	}
	return versions
}

func (n *Node) purgeAnswers() {
	value, _ := n.state.Setting(spec.SettingCachePurge)
	p, sum, ok := spec.ParseCachePurge(value)
	if !ok { // removed, or an older build let it be written
		return
	}
	gone := n.actors.PurgeAnswers(answers.Match{Tenant: p.Tenant, Deployment: p.Deployment, Sum: sum})
	n.log.Info("kept answers were dropped", "tenant", p.Tenant, "deployment", p.Deployment, "key", p.Key, "answers", gone, "request_id", p.Request)
}

// cacheStats is what this node's devices keep.
func (n *Node) cacheStats() []gateway.CacheStat {
	out := []gateway.CacheStat{}
	if n.actors == nil {
		return out
	}
	for device, all := range n.actors.Answers() {
		for _, s := range all {
			out = append(out, gateway.CacheStat{Node: string(n.id), Device: string(device), Deployment: s.Deployment,
				Entries: s.Entries, Bytes: s.Bytes, Hits: s.Hits, Misses: s.Misses, Joined: s.Joined})
		}
	}
	return out
}

// serveCaches answers members.
func (n *Node) serveCaches(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(n.cacheStats())
}

// Caches asks all members.
func (o operations) Caches(ctx context.Context) ([]gateway.CacheStat, []spec.NodeID) {
	all := o.n.cacheStats()
	var (
		mu        sync.Mutex
		unreached []spec.NodeID
		asking    sync.WaitGroup
	)
	client := o.n.port.Client("state")
	for _, m := range o.n.gossip.Members() {
		if m.ID == o.n.id {
			continue
		}
		asking.Go(func() {
			stats, err := askCaches(ctx, client, m.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unreached = append(unreached, m.ID)
			}
			all = append(all, stats...)
		})
	}
	asking.Wait()
	slices.SortFunc(all, func(a, b gateway.CacheStat) int {
		return cmp.Or(cmp.Compare(a.Deployment, b.Deployment), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Device, b.Device))
	})
	slices.Sort(unreached)
	return all, unreached
}

func askCaches(ctx context.Context, client *http.Client, id spec.NodeID) ([]gateway.CacheStat, error) {
	const most = 16 << 20
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(id)+"/cache", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("node %s answered %s", id, answer.Status)
	}
	var stats []gateway.CacheStat
	err = json.NewDecoder(io.LimitReader(answer.Body, most)).Decode(&stats)
	for i := range stats {
		stats[i].Node = string(id)
	}
	return stats, err
}
