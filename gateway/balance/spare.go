package balance

// Spare takes a place for q that nobody waits for, on an instance of that version that is ready; false:
// there is none. It does not wait, and loads nothing.
func (t *Table) Spare(q *Query, version uint64) (Grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[q.Deployment]
	if p == nil || p.queue.Len() > 0 {
		return Grant{}, false
	}
	now := t.cfg.Now()
	in, _ := Pick(p.list, q, now, t.stale(), t.cfg.Random)
	if in == nil || in.Version != version || in.breaker.open {
		return Grant{}, false
	}
	return t.grantLocked(in, q, now), true
}
