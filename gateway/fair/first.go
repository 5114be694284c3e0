package fair

import "time"

// First appends to dst the first n in the order of service, or all where fewer wait. They
// stay where they are.
func (q *Queue[T]) First(dst []*Item[T], n int, now time.Time) []*Item[T] {
	if n == 1 {
		if b := q.turn(now, q.since); b != nil {
			dst = append(dst, b.heap[0].next)
		}
		return dst
	}
	for i := range q.bands {
		q.bands[i].look = q.bands[i].oldest
	}
	since, from := q.since, len(dst)
	for range n {
		b := q.turn(now, since)
		if b == nil {
			break
		}
		if b == q.upper() {
			since = min(since+1, q.every())
		} else {
			since = 0
		}
		l := b.heap[0]
		it := l.next
		dst = append(dst, it)
		it.seen = true
		for b.look != nil && b.look.seen {
			b.look = b.look.newer
		}
		l.ahead, l.next = l.ahead+it.Cost, it.next
		b.down(1)
	}
	for _, it := range dst[from:] {
		it.seen = false
		if l := it.lane; l.next != l.first {
			l.settle()
			l.band.fix(l)
		}
	}
	for i := range q.bands {
		q.bands[i].look = nil
	}
	return dst
}

// turn is the band that is served next, where since places were given since one below
// the highest had one; nil: nobody is left.
func (q *Queue[T]) turn(now time.Time, since int) *band[T] {
	top := q.upper()
	if top == nil || since < q.every()-1 {
		return top
	}
	var aged *band[T]
	for b := range q.bands {
		b := &q.bands[b]
		if b == top {
			break
		}
		if o := b.left(); o != nil && now.Sub(o.Enqueued) > q.patience() && (aged == nil || o.before(aged.left())) {
			aged = b
		}
	}
	if aged != nil {
		return aged
	}
	return top
}

// upper is the highest band in which somebody is left.
func (q *Queue[T]) upper() *band[T] {
	for i := Bands - 1; i >= 0; i-- {
		if b := &q.bands[i]; len(b.heap) > 0 && b.heap[0].next != nil {
			return b
		}
	}
	return nil
}

// left is the oldest of the band, while First looks ahead of those not seen.
func (b *band[T]) left() *Item[T] {
	if b.look != nil {
		return b.look
	}
	if b.oldest != nil && b.oldest.seen {
		return nil
	}
	return b.oldest
}
