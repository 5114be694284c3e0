package gateway

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
)

// A revokedView answers what takes access away from somebody.
type revokedView struct {
	ID      string    `json:"id"`
	Revoked bool      `json:"revoked"`
	Index   uint64    `json:"state_index"`
	Lagging []string  `json:"lagging"` // nodes that have not told that they know
	Closing []closing `json:"closing"` // the same, with the end of what they may still let in
}

// A closing is until when a node that is cut off may still let somebody in.
type closing struct {
	Node   string `json:"node"`
	Closes int64  `json:"closes_ms"`
}

// revoke writes what takes access away, and answers when every member that is
// alive knows it, or names those that have not told so. tenant is whose credentials it
// is about; empty: any's.
func (r *request) revoke(id, tenant string, c *wire.Command) error {
	res, err := r.propose(c)
	if err != nil {
		return err
	}
	return r.json(200, r.revoked(id, tenant, res))
}

func (r *request) revoked(id, tenant string, res *wire.Result) revokedView {
	out := revokedView{ID: id, Revoked: true, Index: res.GetIndex(), Lagging: []string{}, Closing: []closing{}}
	if r.g.cfg.Applied == nil {
		return out
	}
	// A node that has not applied the write was cut off before now, at the latest:
	// it lets nobody in once that is longer ago than the tenant allows.
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.g.work, catchUp)
	defer cancel()
	lagging := r.g.cfg.Applied(ctx, res.GetIndex())
	if len(lagging) == 0 {
		return out
	}
	closes := began.Add(r.g.maxAge(tenant)).UnixMilli()
	for _, n := range lagging {
		out.Lagging = append(out.Lagging, string(n))
		out.Closing = append(out.Closing, closing{string(n), closes})
	}
	return out
}

// maxAge is how old the state may be to let the tenant's credentials in; of no
// tenant, the longest of all.
func (g *Gateway) maxAge(tenant string) time.Duration {
	if tenant != "" {
		t, _ := g.cfg.State.Tenant(tenant)
		return auth.MaxAgeOf(t)
	}
	longest := auth.DefaultMaxAge
	for cursor := ""; ; {
		page, next := g.cfg.State.TenantsPage(cursor, mostPage)
		for _, t := range page {
			longest = max(longest, auth.MaxAgeOf(t))
		}
		if cursor = next; cursor == "" {
			return longest
		}
	}
}
