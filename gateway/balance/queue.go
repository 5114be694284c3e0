package balance

import (
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/fair"
)

// A cause is why a request is refused for want of room.
type cause uint8

const (
	causeBound    cause = iota // as many wait as may
	causeWait                  // it would wait longer than requests may
	causeDeadline              // it would wait beyond its deadline
	causeTimeout               // it has waited as long as requests may
	causes
)

var causeNames = [causes]string{"bound", "wait", "deadline", "timeout"}

// doubt is how many times as long as it may a request must be expected to wait for it to
// be refused at once: the expectation is a guess, and others may leave.
const doubt = 1.5

// queueLocked has q wait, and has whoever would be served last make room where too many do.
func (t *Table) queueLocked(p *pool, q *Query, s Standing, serve func(Grant, error)) (*waiter, error) {
	wait := t.waitFor(p, s, q)
	if wait == 0 {
		return nil, t.refusalLocked(p, q, s)
	}
	now := t.cfg.Now()
	if s == Full {
		if ahead, ok := p.queue.Wait(q.Tenant, q.Priority, now); ok {
			switch {
			case !q.Deadline.IsZero() && now.Add(ahead).After(q.Deadline):
				return nil, t.shedLocked(p, q, causeDeadline)
			case ahead.Seconds() > doubt*wait.Seconds():
				return nil, t.shedLocked(p, q, causeWait)
			}
		}
	}
	if q.came.IsZero() {
		q.came = now
	}
	if q.charged > 0 { // it had a place before, and comes back
		p.queue.Charge(q.Tenant, q.Priority, -q.charged)
		q.charged = 0
	}
	w := &waiter{q: q, serve: serve, picky: !q.plain() || q.Shared, nudge: make(chan struct{}, 1)}
	w.item = fair.Item[*waiter]{Tenant: q.Tenant, Priority: q.Priority, Enqueued: q.came, Deadline: q.Deadline, Cost: q.cost(), Value: w}
	p.queue.Push(&w.item, now)
	t.mu.waiting++
	if w.picky {
		p.picky++
	}
	if q.Shared {
		p.shared++
	}
	if w.apart = q.apart(); w.apart {
		p.apart++
	}
	if p.queue.Len() <= t.cfg.QueueLength {
		return w, nil
	}
	out := p.queue.Shed().Value
	t.leftLocked(p, out)
	err := t.shedLocked(p, out.q, causeBound)
	if out == w {
		return nil, err
	}
	out.serve(Grant{}, err)
	return w, nil
}

// cost is what the request is expected to take of its tenant's part.
func (q *Query) cost() float64 {
	out := q.OutputTokens
	if out == 0 {
		out = decodeTokens
	}
	return fair.Cost(q.PromptTokens, 0, out)
}

// takenLocked takes w out of the queue because it has a place.
func (t *Table) takenLocked(p *pool, w *waiter) {
	p.queue.Take(&w.item, t.cfg.Now())
	t.leftLocked(p, w)
	w.q.charged = w.item.Cost
}

// leftLocked counts that w is out of the queue.
func (t *Table) leftLocked(p *pool, w *waiter) {
	t.mu.waiting--
	if w.picky {
		p.picky--
	}
	if w.q.Shared {
		p.shared--
	}
	if w.apart {
		p.apart--
	}
}

// Settle tells what a request that is over has really taken, as fair.Cost has it; below
// 0: that is not known. Its tenant is counted to have had that, if it has waited.
func (t *Table) Settle(q *Query, units float64) {
	if q.charged == 0 || units < 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.mu.pools[q.Deployment]; p != nil {
		p.queue.Charge(q.Tenant, q.Priority, units-q.charged)
	}
	q.charged = 0
}

// orderLocked is the first n who wait. It is good until the next call; who is done with
// it forgets it, for it holds whole requests.
func (t *Table) orderLocked(p *pool, n int) []*fair.Item[*waiter] {
	t.mu.order = p.queue.First(t.mu.order[:0], n, t.cfg.Now())
	return t.mu.order
}

func (t *Table) forgetLocked() { clear(t.mu.order) }

// shedLocked is the refusal of a request for which there is no room, and counts it.
func (t *Table) shedLocked(p *pool, q *Query, why cause) *Refusal {
	t.mu.shed[why][q.Priority.Band()]++
	p.demand.at(t.cfg.Now()).refused++
	r := &Refusal{RetryAfter: p.retryAfter(q, t.cfg.Now())}
	switch why {
	case causeDeadline:
		r.Err = spec.Errorf(spec.CodeBusy, "Every instance of %q is full, and the request would wait beyond its deadline.", q.Deployment)
	case causeWait:
		r.Err = spec.Errorf(spec.CodeBusy, "Every instance of %q is full, and the request would wait for about %v.", q.Deployment, r.RetryAfter.Round(time.Second))
	default:
		r.Err = spec.Errorf(spec.CodeBusy, "Every instance of %q is full and %d requests wait.", q.Deployment, p.queue.Len())
	}
	return r
}

// A Queueing is what a gateway's queues are like, and what they have refused so far.
type Queueing struct {
	Waiting [fair.Bands]int
	Shed    [fair.Bands]map[string]uint64 // by cause: bound, wait, deadline or timeout
}

// Queueing tells of all queues together, the lowest priority first.
func (t *Table) Queueing() Queueing {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out Queueing
	for i, p := range fair.Priorities() {
		for _, pool := range t.mu.pools {
			out.Waiting[i] += pool.queue.Load(p).Count
		}
		out.Shed[i] = make(map[string]uint64, causes)
		for c, name := range causeNames {
			out.Shed[i][name] = t.mu.shed[c][i]
		}
	}
	return out
}
