package quota

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An effect is what one request of a gateway's has changed. A gateway that has had no answer
// to it holds nothing of what was granted, and tells again what it told: then it is undone.
type effect struct {
	seq   uint64
	at    time.Time
	shift time.Duration // of when a rate is empty

	period         int64 // of a budget
	spent, renewed uint64
}

// An asking is one gateway's for one limit.
type asking struct {
	limit string
	asker uint64
}

// effectKept is how long an effect is kept at least. A gateway asks again sooner, or not at all.
const effectKept = 10 * time.Minute

// begin finds out whether the request is to be answered: it may come after later ones of the same
// gateway's for that limit, and then nobody waits for it any more. What was done for one that was not answered is
// undone by undo.
func (a *Actor) begin(r *wire.QuotaRequest, undo func(effect)) (late bool) {
	if r.GetAsker() == 0 {
		return false
	}
	of := asking{r.GetLimit(), r.GetAsker()}
	last, ok := a.effects[of]
	switch {
	case !ok:
		return false
	case r.GetSeq() < last.seq:
		return true
	case r.GetAnswered() < last.seq:
		undo(last)
	}
	delete(a.effects, of)
	return false
}

// end notes what was done for a request.
func (a *Actor) end(now time.Time, r *wire.QuotaRequest, e effect) {
	if r.GetAsker() == 0 {
		return
	}
	if len(a.effects) >= a.noted {
		for of, e := range a.effects {
			if now.Sub(e.at) > effectKept {
				delete(a.effects, of)
			}
		}
		a.noted = max(sweepAfter, 2*len(a.effects))
	}
	e.seq, e.at = r.GetSeq(), now
	a.effects[asking{r.GetLimit(), r.GetAsker()}] = e
}

// undo takes out what a request has put in. After a while some of that has leaked out.
func (r *rate) undo(now time.Time, e effect) {
	if age := now.Sub(e.at); e.shift > 0 && age >= full {
		e.shift = max(0, e.shift-age)
	}
	r.empty = spec.Later(spec.Later(r.empty, now).Add(-e.shift), now)
}

// undo is the same of a budget, both of whose numbers rise.
func (b *budget) undo(e effect) {
	if e.period != b.begin {
		return
	}
	b.granted += e.renewed
	b.returned += min(e.spent, b.spent())
}
