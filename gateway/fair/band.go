package fair

// A band is those who wait with one priority.
type band[T any] struct {
	lanes  map[string]*lane[T] // by tenant: those who wait, and those whose counters matter
	heap   []*lane[T]          // of those who wait, the next to be served first
	floor  float64             // counter of the last tenant that left
	load   Load                // without Oldest
	oldest *Item[T]
	newest *Item[T]
	look   *Item[T] // the oldest that First has not seen
}

// A lane is one tenant in a band.
type lane[T any] struct {
	tenant      string
	band        *band[T]
	counter     float64 // what it has had
	first, last *Item[T]
	count       int
	cost        float64
	at          int // in the heap, from 1; 0: nobody of it waits

	// While First looks ahead: what it would have had, and who would be next. Else the
	// counter's and the first's.
	ahead float64
	next  *Item[T]
}

// keepIdle is how many tenants' counters are kept beyond those who wait before those
// that have become meaningless are looked for.
const keepIdle = 64

func (b *band[T]) push(it *Item[T]) {
	l := b.lanes[it.Tenant]
	if l == nil {
		l = b.open(it.Tenant)
	}
	it.lane = l
	b.chain(it)
	l.chain(it)
	l.count++
	l.cost += it.Cost
	b.load.Count++
	b.load.Cost += it.Cost
	if l.at == 0 {
		l.counter = max(l.counter, b.least())
		b.heap = append(b.heap, l)
		l.at = len(b.heap)
	}
	l.settle()
	b.fix(l)
}

func (b *band[T]) open(tenant string) *lane[T] {
	if b.lanes == nil {
		b.lanes = map[string]*lane[T]{}
	}
	l := &lane[T]{tenant: tenant, band: b}
	b.lanes[tenant] = l
	return l
}

// least is what a tenant that comes back has had at least.
func (b *band[T]) least() float64 {
	if len(b.heap) > 0 {
		return b.heap[0].counter
	}
	return b.floor
}

// remove takes it out. Its lane's counter is what it is after that.
func (b *band[T]) remove(it *Item[T]) {
	l := it.lane
	b.unchain(it)
	l.unchain(it)
	it.lane = nil
	l.count--
	l.cost -= it.Cost
	b.load.Count--
	b.load.Cost -= it.Cost
	if b.load.Count == 0 {
		b.load.Cost = 0 // whatever rounding has left
	}
	l.settle()
	if l.count > 0 {
		b.fix(l)
		return
	}
	l.cost, b.floor = 0, l.counter
	b.drop(l)
	if len(b.lanes) > 2*len(b.heap)+keepIdle {
		b.tidy()
	}
}

// tidy forgets the counters that say nothing: who comes back would be lifted above them.
// Where far more tenants are left than wait, all who do not are forgotten: somebody sends
// under ever new names.
func (b *band[T]) tidy() {
	least := b.least()
	for name, l := range b.lanes {
		if l.at == 0 && l.counter <= least {
			delete(b.lanes, name)
		}
	}
	if len(b.lanes) <= 2*len(b.heap)+keepIdle {
		return
	}
	for name, l := range b.lanes {
		if l.at == 0 {
			delete(b.lanes, name)
		}
	}
}

func (b *band[T]) charge(tenant string, units float64) {
	l := b.lanes[tenant]
	if l == nil {
		if !(units > 0) {
			return
		}
		l = b.open(tenant)
		l.counter = b.least()
	}
	l.counter += units
	if l.at > 0 {
		l.settle()
		b.fix(l)
	}
}

// settle ends what First looked at.
func (l *lane[T]) settle() { l.ahead, l.next = l.counter, l.first }

// chain puts it among its tenant's by when it came.
func (l *lane[T]) chain(it *Item[T]) {
	after := l.last
	for after != nil && it.before(after) {
		after = after.prev
	}
	it.prev = after
	if after == nil {
		it.next, l.first = l.first, it
	} else {
		it.next, after.next = after.next, it
	}
	if it.next == nil {
		l.last = it
	} else {
		it.next.prev = it
	}
}

func (l *lane[T]) unchain(it *Item[T]) {
	if it.prev == nil {
		l.first = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.last = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
}

// chain puts it among the band's by when it came.
func (b *band[T]) chain(it *Item[T]) {
	after := b.newest
	for after != nil && it.before(after) {
		after = after.older
	}
	it.older = after
	if after == nil {
		it.newer, b.oldest = b.oldest, it
	} else {
		it.newer, after.newer = after.newer, it
	}
	if it.newer == nil {
		b.newest = it
	} else {
		it.newer.older = it
	}
}

func (b *band[T]) unchain(it *Item[T]) {
	if it.older == nil {
		b.oldest = it.newer
	} else {
		it.older.newer = it.newer
	}
	if it.newer == nil {
		b.newest = it.older
	} else {
		it.newer.older = it.older
	}
	it.older, it.newer = nil, nil
}
