package limit

// Stats tell of all limits that this gateway holds.
type Stats struct {
	Limits  int      // that were asked for
	Waiting int      // requests that wait for an owner
	Leased  [3]int64 // units that may still be spent under leases, by Unit
	Shared  int      // limits whose owner counts as unreachable
	Spent   int      // limits whose owner refuses more for now
}

// Stats counts what is held now.
func (l *Limiter) Stats() Stats {
	l.mu.RLock()
	all := make([]*entry, 0, len(l.limit))
	for _, e := range l.limit {
		all = append(all, e)
	}
	l.mu.RUnlock()
	s, now := Stats{Limits: len(all)}, l.cfg.Now()
	for _, e := range all {
		e.Lock()
		s.Waiting += e.waiters
		if now.Before(e.b.expires) {
			s.Leased[e.b.unit] += max(e.b.avail, 0)
		}
		if e.b.sharing(now) {
			s.Shared++
		}
		if now.Before(e.b.denied) {
			s.Spent++
		}
		e.Unlock()
	}
	return s
}
