package models

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// checking is a check under way, or the last one of a model.
type checking struct {
	verdict Verdict
	cancel  context.CancelFunc
}

// check begins a check of a model here, unless one runs, and tells how it stands.
func (k *Keeper) check(ctx context.Context, name string) (Verdict, error) {
	m := k.model(name)
	if m == nil {
		return Verdict{}, spec.Errorf(spec.CodeNotFound, "there is no model %q", name)
	}
	if !k.cfg.Store.Has(m.GetDigest()) {
		return Verdict{}, spec.Errorf(spec.CodeNotFound, "node %s does not have model %s", k.cfg.Self, name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.mu.checking[name]; c != nil && c.verdict.Running {
		return c.verdict, nil
	}
	if k.mu.closed {
		return Verdict{}, spec.Errorf(spec.CodeDraining, "node %s is going down", k.cfg.Self)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &checking{cancel: cancel, verdict: Verdict{Node: string(k.cfg.Self), Model: name, Digest: hex.EncodeToString(m.GetDigest()), Running: true,
		Total: int64(m.GetSize()), AtMS: time.Now().UnixMilli(), Damaged: []Fault{}}}
	k.mu.checking[name] = c
	k.mu.checked[string(m.GetDigest())] = time.Now()
	k.all.Go(func() { defer cancel(); k.scrub(own, m, c) })
	return c.verdict, nil
}

func (k *Keeper) model(name string) *wire.Model {
	for _, m := range k.cfg.View().Models {
		if m.GetName() == name {
			return m
		}
	}
	return nil
}

// scrub reads the model, and has what is damaged mended.
func (k *Keeper) scrub(ctx context.Context, m *wire.Model, c *checking) {
	k.pace.Set(k.cfg.Options().Rate)
	bad, err := k.cfg.Store.Scrub(ctx, m, func(ctx context.Context, n int) error {
		k.mu.Lock()
		c.verdict.Bytes += int64(n)
		k.mu.Unlock()
		return k.pace.Wait(ctx, n)
	})
	chunks := make([]int, 0, len(bad))
	k.mu.Lock()
	for _, f := range bad {
		chunks = append(chunks, f.Chunk)
		c.verdict.Damaged = append(c.verdict.Damaged, Fault{Chunk: f.Chunk, File: f.File})
	}
	k.mu.Unlock()
	if err == nil && len(bad) > 0 {
		k.cfg.Metrics.Damaged("disk", len(bad))
		k.cfg.Log.Error("a model on this node's disk is damaged", "model", m.GetName(), "file", bad[0].File, "chunk", bad[0].Chunk, "chunks", len(bad))
		if err = k.cfg.Store.Demote(m, chunks); err == nil {
			_, err = k.cfg.Fetcher.Fetch(ctx, m, nil)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c.verdict.Running, c.verdict.Repaired = false, err == nil
	if err != nil {
		c.verdict.Error, c.verdict.Hint = said(err)
		k.cfg.Log.Error("a model's files could not be checked, or mended", "model", m.GetName(), "error", err)
	} else if len(bad) > 0 {
		k.cfg.Log.Info("a damaged model was mended by other nodes' copies", "model", m.GetName(), "chunks", len(bad))
	}
}

// verdicts are the last checks here.
func (k *Keeper) verdicts() []Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := []Verdict{}
	for _, c := range k.mu.checking {
		v := c.verdict
		v.Damaged = append([]Fault{}, v.Damaged...)
		out = append(out, v)
	}
	return out
}

// Verify has every node that has the model check it, and tells how each stands.
func (k *Keeper) Verify(ctx context.Context, name string) ([]Verdict, error) {
	if k.model(name) == nil {
		return nil, spec.Errorf(spec.CodeNotFound, "there is no model %q", name)
	}
	out := []Verdict{}
	add := func(v Verdict, err error, node spec.NodeID) {
		if spec.CodeOf(err) == spec.CodeNotFound && err != nil {
			return // it has no copy
		}
		if err != nil {
			v = Verdict{Node: string(node), Model: name, Damaged: []Fault{}}
			v.Error, v.Hint = said(err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		out = append(out, v)
	}
	v, err := k.check(ctx, name)
	add(v, err, k.cfg.Self)
	k.each(ctx, func(ctx context.Context, id spec.NodeID) {
		var v Verdict
		err := k.ask(ctx, "POST", id, "/verify/"+segment(name), reportTime, &v)
		add(v, err, id)
	})
	return out, nil
}

// scrubNext begins the check that is due longest, if checks are wanted and none runs.
func (k *Keeper) scrubNext(ctx context.Context) {
	every := k.cfg.Options().Scrub
	if every == 0 {
		return
	}
	due, longest := (*wire.Model)(nil), time.Now().Add(-every)
	models := k.cfg.View().Models
	k.mu.Lock()
	for _, m := range models {
		key := string(m.GetDigest())
		if k.mu.checked[key].IsZero() {
			k.mu.checked[key] = time.Now() // it was verified when it came, and is when it is loaded
		}
		if at := k.mu.checked[key]; at.Before(longest) && k.cfg.Store.Has(m.GetDigest()) {
			due, longest = m, at
		}
	}
	for _, c := range k.mu.checking {
		if c.verdict.Running {
			due = nil
		}
	}
	k.mu.Unlock()
	if due != nil {
		_, _ = k.check(ctx, due.GetName())
	}
}
