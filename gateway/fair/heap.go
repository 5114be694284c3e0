package fair

// served tells whether l's next is served before m's.
func (l *lane[T]) served(m *lane[T]) bool {
	switch {
	case l.next == nil || m.next == nil:
		return l.next != nil
	case l.ahead != m.ahead:
		return l.ahead < m.ahead
	}
	return l.next.before(m.next)
}

// fix puts l, which has changed, where it belongs.
func (b *band[T]) fix(l *lane[T]) {
	if !b.up(l.at) {
		b.down(l.at)
	}
}

// drop takes l out.
func (b *band[T]) drop(l *lane[T]) {
	at, last := l.at, len(b.heap)
	b.swap(at, last)
	b.heap[last-1] = nil
	b.heap = b.heap[:last-1]
	l.at = 0
	if at < last {
		b.fix(b.heap[at-1])
	}
}

func (b *band[T]) swap(i, j int) {
	x, y := b.heap[i-1], b.heap[j-1]
	b.heap[i-1], b.heap[j-1] = y, x
	x.at, y.at = j, i
}

func (b *band[T]) up(i int) (moved bool) {
	for i > 1 && b.heap[i-1].served(b.heap[i/2-1]) {
		b.swap(i, i/2)
		i, moved = i/2, true
	}
	return moved
}

func (b *band[T]) down(i int) {
	for n := len(b.heap); 2*i <= n; {
		child := 2 * i
		if child < n && b.heap[child].served(b.heap[child-1]) {
			child++
		}
		if !b.heap[child-1].served(b.heap[i-1]) {
			return
		}
		b.swap(i, child)
		i = child
	}
}
