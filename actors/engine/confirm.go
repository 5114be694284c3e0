package engine

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Confirmed is what an Engine has that outlives the node's process: it is told of a newer placement that
// keeps it, so that the next process finds that one noted.
type Confirmed interface {
	Confirm(ctx context.Context, epoch uint64, placement []byte) error
}

// Confirm implements Confirmed: the shim's claim and its note take the newer epoch.
func (l *local) Confirm(ctx context.Context, epoch uint64, placement []byte) error {
	l.mu.Lock()
	p, k := l.mu.process, l.mu.kept
	l.mu.Unlock()
	if p == nil || k.V == 0 {
		return spec.Errorf(spec.CodeNotReady, "the engine has not started")
	}
	k.Spec.Epoch, k.Spec.Placement = epoch, placement
	if _, err := p.link.Claim(ctx, l.presets.claim(k.Spec)); err != nil {
		return err
	}
	if err := p.link.Note(ctx, k.encode()); err != nil {
		return err
	}
	l.mu.Lock()
	l.mu.kept = k
	l.mu.Unlock()
	return nil
}
