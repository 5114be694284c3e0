package quotas

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/quota"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	gather      = 10 * time.Millisecond  // for which changes are gathered before the next owner is told
	lookEvery   = 200 * time.Millisecond // whether there are other workers
	tellTimeout = time.Second
	noteEvery   = 2 * time.Second
	noteTimeout = 5 * time.Second
	mostStates  = 500      // at once
	mostBytes   = 48 << 10 // of states in one request
)

// Run tells next owners and notes budgets until ctx ends, and once more then, within
// final's time.
func (k *Keeper) Run(ctx context.Context, final time.Duration) {
	var both sync.WaitGroup
	both.Go(func() { k.tellAlways(ctx) })
	both.Go(func() { k.noteAlways(ctx) })
	both.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), final)
	defer cancel()
	k.tell(last, false)
	k.note(last)
}

// tellAlways tells next owners of changes soon, and everybody of all when who owns
// what has changed, or somebody was not reached.
func (k *Keeper) tellAlways(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	all, slotted := false, k.cfg.Level() >= level
	told := k.view.of(k.cfg.Workers())
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.changed:
			select {
			case <-time.After(gather):
			case <-ctx.Done():
				return
			}
			all = !k.tell(ctx, false) || all
		case <-tick.C:
			if !slotted { // owners are found anew once every build knows how
				slotted = k.cfg.Level() >= level
				all = slotted
			}
			if now := k.view.of(k.cfg.Workers()); now != told || all {
				told, all = now, !k.tell(ctx, true)
			}
		}
	}
}

// tell brings what has changed, or all, to the nodes that are to know it. It tells
// whether all were reached.
func (k *Keeper) tell(ctx context.Context, all bool) bool {
	if k.cfg.Level() < level {
		return true
	}
	for {
		states, err := k.cfg.Collect(ctx, quota.Collect{Most: mostStates, All: all})
		if err != nil {
			return false
		}
		if !k.send(ctx, k.byNode(states)) {
			return false
		}
		if all = false; len(states) < mostStates {
			return true
		}
	}
}

// byNode sorts states by who is to know them: a limit's owner, or the next one where
// that is this node itself.
func (k *Keeper) byNode(states []*wire.QuotaState) map[spec.NodeID][]*wire.QuotaState {
	out := map[spec.NodeID][]*wire.QuotaState{}
	for _, s := range states {
		of, _ := k.owners(s.GetLimit())
		to := of[0]
		if to == k.cfg.Self {
			to = of[1]
		}
		if to != "" {
			out[to] = append(out[to], s)
		}
	}
	return out
}

func (k *Keeper) send(ctx context.Context, to map[spec.NodeID][]*wire.QuotaState) bool {
	var sending sync.WaitGroup
	failed := make(chan error, len(to))
	for node, states := range to {
		sending.Go(func() {
			if err := k.sendTo(ctx, node, states); err != nil {
				failed <- err
			}
		})
	}
	sending.Wait()
	select {
	case err := <-failed:
		k.cfg.Log.Debug("what is known of limits did not come to their next owner", "error", err) // all of it is told anew
		return false
	default:
		return true
	}
}

func (k *Keeper) sendTo(ctx context.Context, node spec.NodeID, states []*wire.QuotaState) error {
	for len(states) > 0 {
		r, size := &wire.QuotaRequest{}, 0
		for len(states) > 0 && (size == 0 || size+proto.Size(states[0]) < mostBytes) {
			size += proto.Size(states[0]) + 4
			r.States, states = append(r.States, states[0]), states[1:]
		}
		telling, cancel := context.WithTimeout(ctx, tellTimeout)
		_, err := k.cfg.Ask(telling, node, r)
		cancel()
		if err != nil {
			return fmt.Errorf("tell node %s: %w", node, err)
		}
	}
	return nil
}

func (k *Keeper) noteAlways(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.note(ctx)
		}
	}
}

// note writes what is spent of budgets to the replicated state. What could not be
// written is written with the next: its numbers only rise.
func (k *Keeper) note(ctx context.Context) {
	if k.cfg.Level() < level || k.cfg.Propose == nil {
		return
	}
	for {
		if len(k.pending) == 0 {
			states, err := k.cfg.Collect(ctx, quota.Collect{Most: mostStates, Budgets: true})
			if err != nil || len(states) == 0 {
				return
			}
			for _, s := range states {
				k.pending = append(k.pending, &wire.BudgetSpent{Limit: s.GetLimit(), PeriodMs: s.GetPeriodMs(), Granted: s.GetGranted(), Returned: s.GetReturned()})
			}
		}
		writing, cancel := context.WithTimeout(ctx, noteTimeout)
		res, err := k.cfg.Propose(writing, &wire.Command{Principal: "node/" + string(k.cfg.Self),
			Body: &wire.Command_PutBudgets{PutBudgets: &wire.PutBudgets{Rows: k.pending}}})
		cancel()
		if err == nil && res.GetCode() != "" {
			err = errors.New(res.GetMessage())
			k.pending = nil // it will be refused again
		}
		if err != nil {
			k.cfg.Log.Warn("what is spent of budgets was not written to the state: it is tried again", "error", err)
			return
		}
		k.pending = nil
	}
}
