package fair

import "time"

// Shed takes out who would be served last and returns it: somebody of the lowest band,
// of the tenant that waits with the most. nil: nobody waits.
func (q *Queue[T]) Shed() *Item[T] {
	for i := range q.bands {
		b := &q.bands[i]
		var out *Item[T]
		var most float64
		for _, l := range b.heap {
			starts := l.counter + l.cost - l.last.Cost
			if out == nil || starts > most || starts == most && out.before(l.last) {
				out, most = l.last, starts
			}
		}
		if out != nil {
			b.remove(out)
			return out
		}
	}
	return nil
}

// Expire takes out those whose deadline has come and appends them to dst.
func (q *Queue[T]) Expire(dst []*Item[T], now time.Time) []*Item[T] {
	for i := range q.bands {
		b := &q.bands[i]
		for it := b.oldest; it != nil; {
			next := it.newer
			if !it.Deadline.IsZero() && !now.Before(it.Deadline) {
				b.remove(it)
				dst = append(dst, it)
			}
			it = next
		}
	}
	return dst
}

// Ahead is what would be served before a request that came now: how many, and what
// they cost. Those who come later may yet be served before it.
func (q *Queue[T]) Ahead(tenant string, p Priority) (count int, cost float64) {
	at := p.Band()
	for i := at + 1; i < Bands; i++ {
		count += q.bands[i].load.Count
		cost += q.bands[i].load.Cost
	}
	b := &q.bands[at]
	own, starts := b.lanes[tenant], b.least()
	if own != nil {
		starts = max(own.counter, starts) + own.cost
		if own.at > 0 {
			starts = own.counter + own.cost
		}
	}
	for _, l := range b.heap {
		if l == own || starts >= l.counter+l.cost {
			count += l.count
			cost += l.cost
			continue
		}
		if part := starts - l.counter; part > 0 {
			count += int(part/l.cost*float64(l.count)) + 1
			cost += part
		}
	}
	return count, cost
}

// Wait is how long a request that came now would wait, as far as the pace tells at which
// those before it were served of late. false: that is not known.
func (q *Queue[T]) Wait(tenant string, p Priority, now time.Time) (time.Duration, bool) {
	rate, ok := q.drain.rate(now, q.Len() > 0)
	if !ok {
		return 0, false
	}
	_, cost := q.Ahead(tenant, p)
	return time.Duration(min(cost/rate, 1e6) * float64(time.Second)), true
}

// Drained is how long all that wait now will take; false: that is not known.
func (q *Queue[T]) Drained(now time.Time) (time.Duration, bool) {
	rate, ok := q.drain.rate(now, q.Len() > 0)
	if !ok {
		return 0, false
	}
	cost := 0.0
	for i := range q.bands {
		cost += q.bands[i].load.Cost
	}
	return time.Duration(min(cost/rate, 1e6) * float64(time.Second)), true
}
