package gateway

import (
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

// follow takes over what an entry changed. It runs inside apply and must not
// block: it waits for New alone, whose reading of everything must not undo a
// change that comes meanwhile.
func (g *Gateway) follow(c Change) {
	g.following.Lock()
	defer g.following.Unlock()
	if c.Reset {
		g.keys.Reset(g.allKeys(), g.cfg.State.Tenants())
		g.catalog.reload()
	} else {
		g.followRecords(c.Records)
	}
	if c.Index > g.seen.Load() {
		g.seen.Store(c.Index)
	}
}

func (g *Gateway) followRecords(records []Ref) {
	reload := false
	for _, r := range records {
		switch r.Kind {
		case KindKey:
			g.followKey(r.ID)
		case KindTenant:
			for _, tn := range g.cfg.State.Tenants() {
				if tn.GetId() == r.ID {
					g.keys.PutTenant(tn)
				}
			}
		case KindDeployment, KindPlacement:
			reload = true
		}
	}
	if reload {
		g.catalog.reload()
	}
}

func (g *Gateway) followKey(id string) {
	k, ok := g.cfg.State.Key(id)
	switch {
	case !ok:
		g.keys.Remove(id)
	case droppedRevoke(k):
		return
	default:
		g.keys.Put(k)
	}
	if !ok || k.GetRevokedMs() != 0 {
		g.limiter.Forget(auth.LimitOf(id))
	}
}

func (g *Gateway) allKeys() []*wire.APIKey {
	var all []*wire.APIKey
	for cursor := ""; ; {
		page, next := g.cfg.State.Keys("", cursor, 1000)
		all = append(all, page...)
		if next == "" {
			return all
		}
		cursor = next
	}
}
