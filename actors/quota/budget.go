package quota

import "time"

// A Period is what a budget is for: a calendar day or month, UTC.
type Period uint32

// The periods, as the wire has them.
const (
	Day   Period = 1
	Month Period = 2
)

// Bounds are when the period that t is in begins and ends.
func (p Period) Bounds(t time.Time) (begin, end time.Time) {
	y, m, d := t.UTC().Date()
	if p == Month {
		return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
}

// A budget is what was granted and given back of one in its present period. Both
// numbers only rise: two owners that know different ones know the greater.
type budget struct {
	begin    int64 // of the period, Unix milliseconds
	granted  uint64
	returned uint64
}

// roll begins the period that begins then, if it is a later one.
func (b *budget) roll(begin int64) {
	if begin > b.begin {
		*b = budget{begin: begin}
	}
}

func (b *budget) spent() uint64 { return b.granted - min(b.returned, b.granted) }

func (b *budget) room(amount uint64) uint64 { return amount - min(b.spent(), amount) }

// take grants up to want of what is left of amount, nothing where that is less than
// need. What is given back, or was used without a grant, counts in the period of, which
// is over where it is not the present one.
func (b *budget) take(amount uint64, o order, of int64) (granted uint64) {
	if of == 0 || of == b.begin {
		b.granted += o.debt
		b.returned += min(o.back, b.spent())
	}
	room := b.room(amount)
	if o.want == 0 || room < max(o.need, 1) {
		return 0
	}
	// Near the end leases become small, so that gateways do not hold what others need.
	granted = min(room, max(o.need, 1, min(o.want, room/8)))
	b.granted += granted
	return granted
}

// learn takes over what another owner knew.
func (b *budget) learn(begin int64, granted, returned uint64) {
	b.roll(begin)
	if begin == b.begin {
		b.granted, b.returned = max(b.granted, granted), max(b.returned, returned)
	}
}
