package gateway

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
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
	// it lets nobody in once that is longer ago than the tenant allows, as far as that
	// node knows.
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.g.work, catchUp)
	defer cancel()
	lagging := r.g.cfg.Applied(ctx, res.GetIndex())
	if len(lagging) == 0 {
		return out
	}
	closes := r.g.ages.closes(tenant, began).UnixMilli()
	for _, n := range lagging {
		out.Lagging = append(out.Lagging, string(n))
		out.Closing = append(out.Closing, closing{string(n), closes})
	}
	return out
}
