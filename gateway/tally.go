package gateway

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/guard"
)

// How often what a gateway has gathered is written to the state.
const (
	usesEvery  = time.Minute
	notesEvery = 2 * time.Second
	notesPause = time.Minute // after the state could not be written
	usesMost   = 10_000      // in one command
)

// uses are the keys that have been used since their last uses were written; when, their principals know.
// Marking a use on the hot path takes neither a lock nor memory, but once a second.
type uses struct {
	of sync.Map // *auth.Principal, without a value
}

// used marks the key as used now. Sessions are not marked: their refreshes tell.
func (u *uses) used(who *auth.Principal, now int64) {
	if who.Session != "" {
		return
	}
	if now-who.Used.Load() > 1000 { // else a busy key's memory would go from core to core
		who.Used.Store(now)
		u.of.Store(who, nil)
	}
}

// take empties what was gathered, the last use of each key.
func (u *uses) take() []*wire.KeyUse {
	last := map[string]int64{}
	for v := range u.of.Range {
		u.of.Delete(v)
		who := v.(*auth.Principal)
		last[who.Key] = max(last[who.Key], who.Used.Load())
	}
	out := make([]*wire.KeyUse, 0, len(last))
	for _, key := range sortedKeys(last) {
		out = append(out, &wire.KeyUse{Id: key, AtMs: last[key]})
	}
	return out
}

// tell writes what is gathered until ctx ends, and once more then.
func (g *Gateway) tell(ctx context.Context) {
	uses, notes := time.NewTicker(usesEvery), time.NewTicker(notesEvery)
	defer uses.Stop()
	defer notes.Stop()
	for {
		select {
		case <-uses.C:
			g.tellUses(ctx)
		case <-notes.C:
			notes.Reset(notesEvery)
			if !g.tellNotes(ctx) {
				notes.Reset(notesPause)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			g.tellUses(last)
			g.tellNotes(last)
			return
		}
	}
}

// tellUses writes the last uses of keys. What cannot be written is lost: it is
// of a minute, and the next use tells of the same.
func (g *Gateway) tellUses(ctx context.Context) {
	all := g.uses.take()
	for len(all) > 0 {
		some := all[:min(len(all), usesMost)]
		all = all[len(some):]
		c := &wire.Command{Body: &wire.Command_TouchKeys{TouchKeys: &wire.TouchKeys{Uses: some}}}
		if err := g.note(ctx, c); err != nil {
			g.cfg.Log.Warn("the last uses of keys could not be written", "keys", len(some), "error", err)
		}
	}
}

// tellNotes tells the audit log of what was refused, and whether it could.
func (g *Gateway) tellNotes(ctx context.Context) bool {
	due := g.notes.Due()
	for i, n := range due {
		c := &wire.Command{From: n.From, Principal: n.Actor, Body: &wire.Command_NoteAudit{NoteAudit: &wire.NoteAudit{
			Action: n.Action, Target: n.Target, Tenant: n.Tenant, Outcome: n.Outcome, Message: n.Message, Count: n.Count}}}
		if err := g.note(ctx, c); err != nil {
			g.cfg.Log.Warn("the audit log could not be told of what was refused", "events", len(due)-i, "error", err)
			g.notes.Back(due[i:])
			return false
		}
	}
	return true
}

// did has the audit log told of what changes nothing in the state.
func (r *request) did(action, target string) {
	r.g.notes.Add(guard.Event{Actor: r.who.Actor(), From: r.from(), Action: action, Target: target, Outcome: "ok"})
}

// note writes for the gateway itself.
func (g *Gateway) note(ctx context.Context, c *wire.Command) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	c.RequestId, c.AtMs = "gw/"+string(g.cfg.Self)+"/"+strconv.FormatUint(g.noted.Add(1), 10)+"/"+newID(), time.Now().UnixMilli()
	if c.Principal == "" {
		c.Principal = "gateway/" + string(g.cfg.Self)
	}
	_, err := g.cfg.Proposer.Propose(ctx, c)
	return err
}
