package quotas

import (
	"context"
	"log/slog"
	"time"

	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	// level is the feature level of slots and budgets.
	level = 5
	// fenceAge is for how long an owner grants after it has last heard of the leader.
	fenceAge = 5 * time.Second
	// askAgain is the pause before an owner is asked again, or another one.
	askAgain = 50 * time.Millisecond
)

// Config of a Keeper. What may be nil says so.
type Config struct {
	Self    spec.NodeID
	Workers func() []spec.NodeID // that are alive; the caller's to change
	Level   func() uint32        // feature level that every member knows
	Age     func() time.Duration // since this node last heard of the leader
	Ask     func(ctx context.Context, node spec.NodeID, r *wire.QuotaRequest) (*wire.QuotaGrant, error)
	// Own and Collect ask this node's actor of limits; nil: it has none.
	Own     func(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error)
	Collect func(ctx context.Context, m quota.Collect) ([]*wire.QuotaState, error)
	Propose func(ctx context.Context, c *wire.Command) (*wire.Result, error)
	Log     *slog.Logger // nil: silent
}

// A Keeper is a node's part in keeping limits: it brings a gateway's requests to their
// owners, answers as an owner, and tells others what this node's actor knows.
type Keeper struct {
	cfg     Config
	view    view
	changed chan struct{} // the actor has something to tell
	pending []*wire.BudgetSpent
}

// New returns a Keeper; Run makes it tell.
func New(c Config) *Keeper {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{cfg: c, view: view{self: c.Self}, changed: make(chan struct{}, 1)}
}

// Changed is to be called where the actor has something to tell. It does not block.
func (k *Keeper) Changed() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// owners are who keeps the limit, and who is next.
func (k *Keeper) owners(limit string) (of [2]spec.NodeID, slotted bool) {
	workers := k.cfg.Workers()
	if k.cfg.Level() < level {
		return highest(workers, limit), false
	}
	return k.view.of(workers).owners[SlotOf(limit)], true
}

// Lease asks the owner of a limit for a share of it. While the limit goes from one
// owner to another it asks again, as long as ctx allows.
func (k *Keeper) Lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	for {
		g, err := k.lease(ctx, r)
		if code := spec.CodeOf(err); code != spec.CodeConflict && code != spec.CodeNotReady {
			return g, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(askAgain):
		}
	}
}

func (k *Keeper) lease(ctx context.Context, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	of, _ := k.owners(r.GetLimit())
	switch of[0] {
	case "":
		return nil, spec.Errorf(spec.CodeBusy, "no worker is alive to keep the limit %s", r.GetLimit())
	case k.cfg.Self:
		return k.Grant(ctx, k.cfg.Self, r)
	}
	return k.cfg.Ask(ctx, of[0], r)
}

// Grant answers as the owner.
func (k *Keeper) Grant(ctx context.Context, _ spec.NodeID, r *wire.QuotaRequest) (*wire.QuotaGrant, error) {
	if k.cfg.Own == nil {
		return nil, spec.Errorf(spec.CodeNotFound, "This node owns no limits.")
	}
	if r.GetLimit() != "" && k.cfg.Level() >= level {
		if err := k.mayGrant(r.GetLimit()); err != nil {
			return nil, err
		}
	}
	return k.cfg.Own(ctx, r)
}

// Lost is for how long this node has owned the limit since all died who knew of it, as
// far as it was used; ok is false where that is not so.
func (k *Keeper) Lost(limit string) (ago time.Duration, ok bool) {
	if k.cfg.Level() < level {
		return 0, false
	}
	now, slot := k.view.of(k.cfg.Workers()), SlotOf(limit)
	at := now.lost[slot]
	return time.Since(at), now.owners[slot][0] == k.cfg.Self && !at.IsZero()
}

func (k *Keeper) mayGrant(limit string) error {
	now, slot := k.view.of(k.cfg.Workers()), SlotOf(limit)
	owner, age := now.owners[slot][0], k.cfg.Age()
	switch {
	case owner != k.cfg.Self:
		return spec.Errorf(spec.CodeConflict, "the limit %s is kept by node %s, as node %s sees it", limit, owner, k.cfg.Self)
	case age > fenceAge:
		return spec.Errorf(spec.CodeStaleState, "node %s has heard nothing of the leader for %s, and grants nothing of the limit %s", k.cfg.Self, age.Round(time.Second), limit)
	case time.Now().Before(now.from[slot]):
		return spec.Errorf(spec.CodeNotReady, "node %s takes over the limit %s from another", k.cfg.Self, limit)
	}
	return nil
}
