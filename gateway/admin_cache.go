package gateway

import (
	"context"
	"encoding/json"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// A CacheStat is what one device keeps of one deployment's answers, and how requests
// for them went there since its node's process began.
type CacheStat struct {
	Node       string `json:"node"`
	Device     string `json:"device"`
	Deployment string `json:"deployment"`
	Entries    int    `json:"entries"`
	Bytes      int    `json:"bytes"`
	Hits       uint64 `json:"hits"`
	Misses     uint64 `json:"misses"`
	Joined     uint64 `json:"joined"`
}

type cachesView struct {
	Data      []CacheStat `json:"data"`
	Unreached []string    `json:"unreached"` // nodes that have not told
}

func listCaches(r *request) error {
	if r.g.cfg.Cluster == nil {
		return r.elsewhere("tell of kept answers")
	}
	ctx, cancel := r.operate()
	defer cancel()
	all, unreached := r.g.cfg.Cluster.Caches(ctx)
	out := cachesView{Data: []CacheStat{}, Unreached: []string{}}
	nodes := r.who.May(access.NodesRead, access.Cluster)
	for _, s := range all {
		about := r.deploymentTarget(s.Deployment).Resource
		if !r.who.May(access.DeploymentsRead, about) {
			continue
		}
		if !nodes && !r.who.May(access.TopologyRead, about) {
			s.Node, s.Device = "", ""
		}
		out.Data = append(out.Data, s)
	}
	if nodes {
		for _, n := range unreached {
			out.Unreached = append(out.Unreached, string(n))
		}
	}
	return r.json(200, out)
}

type purgeForm struct {
	Tenant     string `json:"tenant"`
	Deployment string `json:"deployment"`
	Key        string `json:"key"`
	All        bool   `json:"all"`
}

// purgeCache drops kept answers everywhere, and answers when every member that is alive
// has done so, or names those that have not told so: they do once they hear of it.
func purgeCache(r *request) error {
	var ask purgeForm
	f, err := r.decode(&ask)
	if err != nil {
		return err
	}
	some := ask.Tenant != "" || ask.Deployment != "" || ask.Key != ""
	f.check(some || ask.All, "deployment", "is missing: say which answers to drop by deployment, tenant or key, or all with \"all\": true")
	f.check(!some || !ask.All, "all", "says to drop all answers, and another field says which")
	f.check(len(ask.Tenant) <= 100, "tenant", "must have at most 100 bytes")
	f.check(ask.Deployment == "" || nameForm.MatchString(ask.Deployment), "deployment", nameRule)
	p := spec.CachePurge{Tenant: ask.Tenant, Deployment: ask.Deployment, Key: ask.Key, Request: r.id}
	value, _ := json.Marshal(p)
	f.check(isPurge(string(value)), "key", "must be 64 hexadecimal digits, as an answer's X-LotaBots-Cache-Key has them")
	if err := f.err(); err != nil {
		return err
	}
	about, target := r.purges(&ask)
	if err := r.must(access.DeploymentsWrite, about); err != nil {
		return err
	}
	res, err := r.propose(&wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: spec.SettingCachePurge, Value: string(value)}}})
	if err != nil {
		return err
	}
	r.did("cache.purge", target)
	out := struct {
		Index   uint64   `json:"state_index"`
		Lagging []string `json:"lagging"`
	}{res.GetIndex(), []string{}}
	if r.g.cfg.Applied != nil {
		ctx, cancel := context.WithTimeout(r.g.work, catchUp)
		defer cancel()
		for _, n := range r.g.cfg.Applied(ctx, res.GetIndex()) {
			out.Lagging = append(out.Lagging, string(n))
		}
	}
	return r.json(200, out)
}

// purges is whose the answers are: who may change a deployment may drop all of its, and
// who may change a tenant's deployments those that were made for the tenant.
func (r *request) purges(ask *purgeForm) (access.Resource, string) {
	switch {
	case ask.Tenant != "":
		return access.In(ask.Tenant), "tenant:" + ask.Tenant
	case ask.Deployment != "":
		return r.deploymentTarget(ask.Deployment).Resource, "deployment:" + ask.Deployment
	}
	return access.Cluster, "cluster"
}
