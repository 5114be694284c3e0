package balance

import (
	"context"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Grant is a place on an instance that this gateway counts as taken until it
// is given back by Release or one of the failures. Its zero value does nothing.
type Grant struct {
	spec.Target
	Version uint64
	Able    spec.Abilities // the instance's
	Run     Run
	table   *Table
	in      *Instance
	prompt  int
	adapter uint32 // of the query
	began   time.Time
	probe   bool // what becomes of it decides whether others may follow
}

type waiter struct {
	q     *Query
	came  time.Time
	ch    chan struct{} // closed when grant is set
	nudge chan struct{} // has something when it is to look again at once
	grant Grant
}

// Acquire takes a place for q, waiting in the deployment's queue while nobody
// has room. The error is a *spec.Error: no_capacity, model_not_ready, or ctx's
// cause where that ended the wait.
func (t *Table) Acquire(ctx context.Context, q *Query) (Grant, error) {
	t.mu.Lock()
	p := t.poolLocked(q.Deployment)
	var standing Standing
	if len(p.waiters) == 0 {
		var g Grant
		if g, standing = t.tryLocked(p, q); standing == Picked {
			t.mu.Unlock()
			return g, nil
		}
	} else {
		_, standing = stand(p.list, q, t.cfg.Now())
	}
	wait := t.waitFor(p, standing, q)
	if wait == 0 || len(p.waiters) >= t.cfg.QueueLength {
		err := t.refusalLocked(p, q, standing)
		t.tidyLocked(q.Deployment, p)
		t.mu.Unlock()
		return Grant{}, err
	}
	w := &waiter{q: q, came: t.cfg.Now(), ch: make(chan struct{}), nudge: make(chan struct{}, 1)}
	p.waiters = append(p.waiters, w)
	t.mu.waiting++
	t.serveLocked(p) // those before it may wait for what it can do without
	look := min(wait, t.cfg.ReadyTimeout, p.trial(t.cfg.Now()))
	t.mu.Unlock()
	return t.await(ctx, w, standing, look)
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

// dyingWait is how long a request waits for the news that the engine which failed it has ended. One that goes on
// is not asked again.
const dyingWait = time.Second

// await waits for w's grant as long as that is worth it: how long that is, is
// reckoned anew from when the standing last changed.
func (t *Table) await(ctx context.Context, w *waiter, s Standing, first time.Duration) (Grant, error) {
	since := time.Now()
	look := time.NewTimer(first)
	defer look.Stop()
	for {
		select {
		case <-w.ch:
			return w.grant, nil
		case <-ctx.Done():
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.leaveLocked(w) {
				return Grant{}, context.Cause(ctx)
			}
			return w.grant, nil // it was granted in between; the caller gives it back
		case <-w.nudge:
			look.Reset(0)
		case <-look.C:
			again, err := t.look(w, &s, &since)
			if err != nil {
				return Grant{}, err
			}
			if again == 0 {
				return w.grant, nil
			}
			look.Reset(again)
		}
	}
}

// look tells how long w is to wait until the next look; 0: it has its grant. The
// error says that waiting is not worth it any more.
func (t *Table) look(w *waiter, s *Standing, since *time.Time) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[w.q.Deployment]
	if p != nil {
		t.serveLocked(p) // an instance may be due for its trial
	}
	if p == nil || !slices.Contains(p.waiters, w) {
		return 0, nil
	}
	_, now := stand(p.list, w.q, t.cfg.Now())
	if now != *s {
		*s, *since = now, time.Now()
	}
	if left := t.waitFor(p, now, w.q) - time.Since(*since); left > 0 {
		return min(left, t.cfg.ReadyTimeout, p.trial(t.cfg.Now())), nil
	}
	t.leaveLocked(w)
	return 0, t.refusalLocked(p, w.q, now)
}

// leaveLocked takes w out of the queue; false: it has its grant already.
func (t *Table) leaveLocked(w *waiter) bool {
	p := t.mu.pools[w.q.Deployment]
	if p == nil {
		return false
	}
	i := slices.Index(p.waiters, w)
	if i < 0 {
		return false
	}
	p.waiters = slices.Delete(p.waiters, i, i+1)
	t.mu.waiting--
	t.tidyLocked(w.q.Deployment, p)
	return true
}

func (t *Table) tryLocked(p *pool, q *Query) (Grant, Standing) {
	now := t.cfg.Now()
	in, standing := Pick(p.list, q, now, t.stale(), random)
	if standing == Warming {
		if in = rouse(p.list, q, now); in != nil {
			in.waking, standing = now, Picked
		}
	}
	if standing != Picked {
		return Grant{}, standing
	}
	return t.grantLocked(in, q, now), Picked
}

// grantLocked gives q a place on in.
func (t *Table) grantLocked(in *Instance, q *Query, now time.Time) Grant {
	in.own++
	in.since++
	in.pending += q.PromptTokens
	return Grant{Target: in.Target, Version: in.Version, Able: in.able, Run: Run{in.Target.Instance, in.run}, table: t, in: in, prompt: q.PromptTokens, adapter: q.Adapter, began: now, probe: in.breaker.sent()}
}

// serveAllLocked grants places to those who wait, in the order of their coming.
func (t *Table) serveAllLocked() {
	if t.mu.waiting == 0 {
		return
	}
	for _, p := range t.mu.pools {
		t.serveLocked(p)
		p.nudgeLocked()
	}
}

// serveLocked grants places to those who wait for the pool's instances, and has
// another loaded where they are too many.
func (t *Table) serveLocked(p *pool) {
	t.grantAllLocked(p)
	t.crowdLocked(p)
}

// nudgeLocked has those who wait look anew where there is little hope.
func (p *pool) nudgeLocked() {
	if len(p.waiters) == 0 || !p.givenUp(p.waiters[0].q) {
		return
	}
	for _, w := range p.waiters {
		select {
		case w.nudge <- struct{}{}:
		default:
		}
	}
}

// grantAllLocked looks past a waiter whom nobody suits, so that one with many
// instances excluded does not hold up the others.
func (t *Table) grantAllLocked(p *pool) {
	for i := 0; i < len(p.waiters); {
		w := p.waiters[i]
		g, standing := t.tryLocked(p, w.q)
		if standing != Picked {
			if len(w.q.Exclude) == 0 && w.q.Died.Instance == "" && len(w.q.Regions) == 0 && w.q.Adapter == 0 {
				return
			}
			i++
			continue
		}
		w.grant = g
		close(w.ch)
		p.waiters = slices.Delete(p.waiters, i, i+1)
		t.mu.waiting--
	}
}

// Waiting counts the requests in the queues.
func (t *Table) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.waiting
}
