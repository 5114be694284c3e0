package balance

import (
	"context"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
	"github.com/lotabots/lotabots/gateway/fair"
)

// A Grant is a place on an instance that this gateway counts as taken until it
// is given back by Release or one of the failures. Its zero value does nothing.
type Grant struct {
	spec.Target
	Version uint64
	Able    spec.Abilities // the instance's
	Run     Run
	Cached  int               // of the request's prompt tokens, that it is expected to hold
	Held    int               // tokens that its engine is expected to hold of the prompt, as that counts them
	guessed bool              // it does not tell what it holds
	Lease   uint64            // of the place, where an actor keeps it; 0: it is asked for with the request
	Waits   *spec.Reservation // that goes with the lease; nil: none does
	table   *Table
	query   *Query
	in      *Instance
	reading time.Duration // that its prompt was thought to take
	adapter uint32        // of the query
	Began   time.Time     // when the place was taken
	shared  bool          // it takes no slot for itself
	ghost   bool          // it is not counted: it asks for an answer that is kept, or made for another, and takes no place unless Made says so
	making  bool          // the answer that others may ask for meanwhile
	kept    uint64
	probe   bool // what becomes of it decides whether others may follow
	good    bool // the instance has answered, which is to be told with the place's return
}

type waiter struct {
	q     *Query
	item  fair.Item[*waiter]
	apart bool               // it wants another version than most
	picky bool               // it may go to fewer instances than others of its deployment
	serve func(Grant, error) // called once, with the table locked, when it waits no more
	nudge chan struct{}      // has something when it is to look again at once
}

// A served is what became of who waited: its place, or why it has none.
type served struct {
	grant Grant
	err   error
}

// Acquire takes a place for q, which g becomes, waiting in the deployment's queue while
// nobody has room, and tells for how long it has waited. The error is a *spec.Error:
// no_capacity, model_not_ready, or ctx's cause where that ended the wait.
func (t *Table) Acquire(ctx context.Context, q *Query, g *Grant) (waited time.Duration, err error) {
	t.mu.Lock()
	p := t.poolLocked(q.Deployment)
	standing := t.firstLocked(p, q, g)
	if standing == Picked {
		t.mu.Unlock()
		return 0, nil
	}
	began := time.Now()
	ch := make(chan served, 1)
	w, look, err := t.enterLocked(p, q, standing, func(g Grant, err error) { ch <- served{g, err} })
	t.mu.Unlock()
	if *g = (Grant{}); err == nil {
		*g, err = t.await(ctx, w, ch, standing, look)
	}
	return time.Since(began), err
}

// Enter is Acquire for who does not block. Where q has to wait, serve is called with its
// place or why it is not to wait any more, by whoever brings the news and with the table
// locked; it must not call back. Nothing else ends that wait.
func (t *Table) Enter(q *Query, serve func(Grant, error)) (g Grant, waits bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.poolLocked(q.Deployment)
	if standing := t.firstLocked(p, q, &g); standing != Picked {
		var w *waiter
		w, _, err = t.enterLocked(p, q, standing, serve)
		waits = w != nil
	}
	return g, waits, err
}

// firstLocked takes a place for q, if there is one and nobody waits. Else it leaves g as it is.
func (t *Table) firstLocked(p *pool, q *Query, g *Grant) Standing {
	now := t.cfg.Now()
	p.counts(q, now)
	tries := q.tries() && p.apart == 0 && p.takes(q, now, t.stale())
	if q.tries() && !tries {
		p.joins(q, now)
	}
	if tries || p.queue.Len() == 0 || q.Shared && p.shared == 0 { // others wait for slots
		return t.tryLocked(p, q, now, g)
	}
	t.expectLocked(p, q, now)
	_, s := stand(p.list, q, now)
	return s
}

// tries tells whether q is of a canary's part, and may be served by the other version.
func (q *Query) tries() bool { return q.Canary > 0 && q.Version == q.Canary && !q.Pinned }

// apart tells whether q wants another version than most who wait.
func (q *Query) apart() bool { return q.Pinned || q.tries() }

// joins has q, for which its canary has no room, wait with the others, and for the same as they do; unless that
// is not loaded, for which it would wait longer.
func (p *pool) joins(q *Query, now time.Time) {
	q.Version = q.Own
	if _, s := servable(p.list, q, now); s == Warming {
		q.Version = q.Canary
	}
}

// takes tells whether an instance of the version that q asks for has room for it now.
func (p *pool) takes(q *Query, now time.Time, stale time.Duration) bool {
	for _, in := range p.list {
		if in.Version == q.Version && in.takes(q, now, stale) {
			return true
		}
	}
	return false
}

// enterLocked has q wait; look is after what time it looks whether that is worth it.
func (t *Table) enterLocked(p *pool, q *Query, s Standing, serve func(Grant, error)) (w *waiter, look time.Duration, err error) {
	if w, err = t.queueLocked(p, q, s, serve); err != nil {
		t.tidyLocked(q.Deployment, p)
		return w, 0, err
	}
	t.serveLocked(p) // those before it may wait for what it can do without
	return w, min(t.waitFor(p, s, q), t.cfg.ReadyTimeout, p.trial(t.cfg.Now())), nil
}

// waitFor is how long it is worth waiting.
func (t *Table) waitFor(p *pool, s Standing, q *Query) time.Duration {
	switch {
	case s == Full:
		return time.Duration(t.queue.Load())
	case q.Hasty:
		return 0
	case s == Warming || s == Bringing:
		return time.Duration(t.load.Load())
	case s == Exhausted:
		return 0
	case s == Dying && p.lives(q):
		return dyingWait
	case q.patient():
		return patience * t.cfg.ReadyTimeout
	case s == Dying:
		return dyingWait
	case p.givenUp(q):
		return failedWait
	case s == NotReady || q.Expected:
		return t.cfg.ReadyTimeout
	default:
		return 0
	}
}

// patience is how many times as long as another a request waits whose answer broke off: until the cluster has
// found a node dead, and has started what was on it elsewhere.
const patience = 4

// lives tells whether the node is heard of whose engine has failed the request, and may be about to start anew.
func (p *pool) lives(q *Query) bool {
	for _, in := range p.list {
		if in.died(q) && !in.silent(q) {
			return true
		}
	}
	return false
}

// dyingWait is how long a request waits for the news that the engine which failed it has ended. One that goes on
// is not asked again.
const dyingWait = time.Second

// await waits for w's grant as long as that is worth it: how long that is, is
// reckoned anew from when the standing last changed.
func (t *Table) await(ctx context.Context, w *waiter, ch <-chan served, s Standing, first time.Duration) (Grant, error) {
	since := time.Now()
	look := time.NewTimer(first)
	defer look.Stop()
	for {
		select {
		case got := <-ch:
			return got.grant, got.err
		case <-ctx.Done():
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.leaveLocked(w) {
				return Grant{}, leash.Cause(ctx)
			}
			got := <-ch // it was granted in between; the caller gives it back
			return got.grant, got.err
		case <-w.nudge:
			look.Reset(0)
		case <-look.C:
			again, err := t.look(w, &s, &since)
			if err != nil {
				return Grant{}, err
			}
			if again == 0 {
				got := <-ch
				return got.grant, got.err
			}
			look.Reset(again)
		}
	}
}

// look tells how long w is to wait until the next look; 0: it waits no more. The
// error says that waiting is not worth it any more.
func (t *Table) look(w *waiter, s *Standing, since *time.Time) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[w.q.Deployment]
	if p != nil {
		t.serveLocked(p) // an instance may be due for its trial
	}
	if p == nil || !w.item.Queued() {
		return 0, nil
	}
	_, now := stand(p.list, w.q, t.cfg.Now())
	if now != *s {
		*s, *since = now, time.Now()
	}
	left := t.waitFor(p, now, w.q) - time.Since(*since)
	if w.q.patient() && (now == NotReady || now == Absent) { // however often what is tried there changes
		left = min(left, patience*t.cfg.ReadyTimeout-t.cfg.Now().Sub(w.q.Broke))
	}
	if left > 0 {
		return min(left, t.cfg.ReadyTimeout, p.trial(t.cfg.Now())), nil
	}
	t.leaveLocked(w)
	return 0, t.refusalLocked(p, w.q, now)
}

// leaveLocked takes w out of the queue; false: it is out of it already.
func (t *Table) leaveLocked(w *waiter) bool {
	p := t.mu.pools[w.q.Deployment]
	if p == nil || !p.queue.Remove(&w.item) {
		return false
	}
	t.leftLocked(p, w)
	t.reserveLocked(p)
	t.tidyLocked(w.q.Deployment, p)
	return true
}

// tryLocked fills g in where it finds a place.
func (t *Table) tryLocked(p *pool, q *Query, now time.Time, g *Grant) Standing {
	t.expectLocked(p, q, now)
	in, standing := Pick(p.list, q, now, t.stale(), t.cfg.Random)
	if standing == Picked {
		in = stick(p.list, q, in, now, t.stale())
	}
	if standing == Warming {
		if in = rouse(p.list, q, now); in != nil {
			in.waking, standing = now, Picked
		}
	}
	if standing != Picked {
		return standing
	}
	t.ghostLocked(in, q, now, g)
	t.placeLocked(g, now)
	return Picked
}

// grantLocked gives q a place on in.
func (t *Table) grantLocked(in *Instance, q *Query, now time.Time) (g Grant) {
	t.ghostLocked(in, q, now, &g)
	t.placeLocked(&g, now)
	return g
}

// placeLocked counts a ghost as a place that is newly taken.
func (t *Table) placeLocked(g *Grant, now time.Time) {
	t.poolOf(g.in).countsPlace(g.query, g.in, now)
	g.countLocked(now)
}

// ghostLocked fills in a grant that is not counted as a place.
func (t *Table) ghostLocked(in *Instance, q *Query, now time.Time, g *Grant) {
	t.reasonsLocked(q, in, now)
	unread := in.uncached(q)
	reading := time.Duration(unread / in.prefill() * float64(time.Second))
	*g = Grant{Target: in.Target, Version: in.Version, Able: in.able, Run: Run{in.Target.Instance, in.run}, Cached: q.PromptTokens - int(unread),
		Held: int(q.expects.Told(&in.held)), guessed: !in.held.Tells(), table: t, query: q, in: in, reading: reading, adapter: q.Adapter, Began: now, shared: in.shared(q), ghost: true}
}

// countLocked counts a ghost as a place from now on.
func (g *Grant) countLocked(now time.Time) {
	in := g.in
	if g.ghost = false; g.shared {
		in.sharing.mine++
	} else {
		in.own++
		in.since++
	}
	in.busy = now
	if in.read.Before(now) {
		in.read = now
	}
	in.read = in.read.Add(g.reading)
	g.probe = in.breaker.sent()
}

// serveAllLocked grants places to those who wait, in the order of service.
func (t *Table) serveAllLocked() {
	if t.mu.waiting == 0 {
		return
	}
	for _, p := range t.mu.pools {
		t.serveLocked(p)
		t.nudgeLocked(p)
	}
}

// serveLocked grants places to those who wait for the pool's instances, and has
// another loaded where they are too many.
func (t *Table) serveLocked(p *pool) {
	t.grantAllLocked(p)
	t.crowdLocked(p)
	t.reserveLocked(p)
	t.forgetLocked()
}

// nudgeLocked has those who wait look anew where there is little hope.
func (t *Table) nudgeLocked(p *pool) {
	defer t.forgetLocked()
	first := t.orderLocked(p, 1)
	if len(first) == 0 || !p.givenUp(first[0].Value.q) {
		return
	}
	for _, it := range t.orderLocked(p, p.queue.Len()) {
		select {
		case it.Value.nudge <- struct{}{}:
		default:
		}
	}
}

// grantAllLocked looks past a waiter whom nobody suits, so that one with many
// instances excluded does not hold up the others.
func (t *Table) grantAllLocked(p *pool) {
	for p.queue.Len() > 0 {
		w := t.orderLocked(p, 1)[0].Value
		if t.giveLocked(p, w) {
			continue
		}
		if w.q.plain() && p.shared+p.apart == 0 {
			return
		}
		for _, it := range t.orderLocked(p, p.queue.Len())[1:] {
			if w := it.Value; !t.giveLocked(p, w) && w.q.plain() && p.shared+p.apart == 0 {
				return
			}
		}
		return
	}
}

// giveLocked grants w a place, if there is one for it.
func (t *Table) giveLocked(p *pool, w *waiter) bool {
	var g Grant
	if t.tryLocked(p, w.q, t.cfg.Now(), &g) != Picked {
		return false
	}
	t.takenLocked(p, w)
	w.serve(g, nil)
	return true
}

// plain tells whether whoever else waits is suited by nobody where this one is not.
func (q *Query) plain() bool {
	return len(q.Exclude) == 0 && q.Died.Instance == "" && len(q.Regions) == 0 && q.Adapter == 0 && !q.apart()
}

// Waiting counts the requests in the queues.
func (t *Table) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.waiting
}
