package usage

import "time"

// A group is those who wait for one write, of the journal or of a batch.
type group struct {
	settled chan struct{} // closed when their records are safe or lost
	fate    error         // to be read after settled; nil: they are safe
	over    bool          // settled is closed, or about to be; guarded by the ledger's mu
	late    chan struct{} // closed when the first who waits has waited long enough
	limit   *time.Timer   // of that; nil: nobody waits
}

func newGroup() *group { return &group{settled: make(chan struct{}), late: make(chan struct{})} }

// wait returns what has become of the group, within the time for which one waits who has come at began: those
// who join the first one late have it to themselves.
func (g *group) wait(began time.Time, most time.Duration) error {
	select {
	case <-g.settled:
		return g.fate
	case <-g.late:
	}
	own := time.NewTimer(most - time.Since(began))
	defer own.Stop()
	select {
	case <-g.settled:
		return g.fate
	case <-own.C:
		return ErrLate
	}
}

// overdue lets those go who have waited for the group long enough; their records are written all the same.
func (l *Ledger) overdue(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.over {
		return
	}
	l.mu.stands = true
	close(g.late)
}

// endLocked tells those who wait what has become of the group, once; nil: nobody waits.
func (l *Ledger) endLocked(g *group, fate error) {
	if g == nil || g.over {
		return
	}
	g.over, g.fate = true, fate
	close(g.settled)
	if g.limit != nil {
		g.limit.Stop()
	}
}

// joinLocked returns the group, made where there is none yet, as one who waits in it.
func (l *Ledger) joinLocked(at **group) *group {
	if *at == nil {
		*at = newGroup()
	}
	g := *at
	if g.limit == nil {
		g.limit = time.AfterFunc(l.cfg.Wait, func() { l.overdue(g) })
	}
	return g
}
