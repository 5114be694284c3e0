package instance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lotabots/lotabots/actors/engine"
)

// beats is how often the pulse is looked at while Policy.Hang passes.
const beats = 15

// A watcher looks after an engine that serves. Its goroutine owns all but the pulse;
// questions to the engine, which may not answer, have goroutines of their own.
type watcher struct {
	run    *run
	engine *monitored
	trial  *trial // that canaries repeat; nil: there are none
	tasks  sync.WaitGroup

	still    stillness
	starving starving
	counted  bool // the engine tells its steps
	probes   chan probed
	probing  time.Time // when the probe under way began; zero: none is
	probedAt time.Time // when the last answered one began
	failures int       // probes in a row

	canaries  chan time.Duration // what each took that was answered; 0: it was not
	singing   bool
	idleSince time.Time
	askedAt   time.Time // when somebody's request was last seen; zero: never
	others    uint64    // requests seen
	crowded   bool
	lastCost  time.Duration
}

// probed is what a probe brings back.
type probed struct {
	health  error
	full    bool // health was asked for too
	load    engine.Load
	loadErr error
}

// watch returns why the engine is of no use any more, or errHalted when ctx ends.
func (w *watcher) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.tasks.Wait()
	defer cancel()
	p := w.run.cfg.Policy
	beat := p.Probe
	if p.Hang > 0 {
		beat = min(beat, p.Hang/beats)
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	w.idleSince = time.Now()
	regular := time.Now()
	for {
		select {
		case <-ctx.Done():
			return errHalted
		case <-w.engine.Done():
			if err := w.engine.Err(); err != nil {
				return engine.Lastly(w.engine, err)
			}
			return errors.New("the engine ended by itself")
		case r := <-w.probes:
			if err := w.probed(r); err != nil {
				return err
			}
		case cost := <-w.canaries:
			w.singing, w.idleSince = false, time.Now()
			w.lastCost = max(cost, w.lastCost/2)
		case now := <-tick.C:
			if err := w.look(now, 2*beat); err != nil {
				return err
			}
			if w.probing.IsZero() && now.Sub(regular) >= p.Probe {
				regular = now
				w.probe(ctx, true)
			}
			w.suspect(ctx, now)
			w.sing(ctx, now)
		}
	}
}

// look judges what the pulse shows.
func (w *watcher) look(now time.Time, most time.Duration) error {
	p, pulse := w.run.cfg.Policy, w.engine.pulse
	if p.Hang < 0 {
		return nil
	}
	c, pace := pulse.look(now)
	if c.others > 0 {
		w.askedAt = now
	}
	if n := pulse.others.Load(); n != w.others {
		w.others, w.askedAt, w.idleSince = n, now, now
	}
	if c.all > 0 || w.singing {
		w.idleSince = now
	}
	starved := time.Duration(0)
	if w.still.still > p.Hang/suspicion { // only then is it worth reading
		starved = w.starving.since(w.engine)
	} else {
		w.starving.known = false
	}
	w.still.tick(now, pulse.pieces.Load(), c.asks, most, starved)
	pulse.fade(most/2, gapHalf)
	if w.still.still < p.Hang || !w.heard(now) {
		return nil
	}
	return p.hung(w.still.still, c, pace, w.counted)
}

// A starving is how long an engine's threads have waited for a processor.
type starving struct {
	known bool
	total time.Duration
}

// since is how long they have since it was last asked, as far as that is told of the engine.
func (s *starving) since(e engine.Engine) (more time.Duration) {
	told, ok := engine.As[interface{ Starved() time.Duration }](e)
	if !ok {
		return 0
	}
	total := told.Starved()
	if s.known {
		more = max(total-s.total, 0) // less: a thread has ended
	}
	s.known, s.total = true, total
	return more
}

// gapHalf is how soon half of a long wait is forgotten.
const gapHalf = 30 * time.Second

// heard tells whether the engine has had its say since it stands still: what counts
// its steps was asked for them, and told, or did not answer.
func (w *watcher) heard(now time.Time) bool {
	if !w.counted {
		return true
	}
	limit := w.run.cfg.Policy.Hang / 3
	return w.probedAt.After(now.Add(-w.still.still+limit)) || !w.probing.IsZero() && now.Sub(w.probing) > limit
}

// suspicion is the part of Policy.Hang after which the engine is asked, and asked again.
const suspicion = 8

// suspect asks an engine that stands still for its steps, between its regular probes.
func (w *watcher) suspect(ctx context.Context, now time.Time) {
	if p := w.run.cfg.Policy; p.Hang > 0 && w.still.still > p.Hang/suspicion && w.probing.IsZero() && now.Sub(w.probedAt) > p.Hang/suspicion {
		w.probe(ctx, false)
	}
}

// probe asks for the load, and for the health too where full.
func (w *watcher) probe(ctx context.Context, full bool) {
	w.probing = time.Now()
	limit := max(3*w.run.cfg.Policy.Probe, time.Second)
	w.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		r := probed{full: full}
		if full {
			r.health = w.engine.Healthy(ctx)
		}
		if r.health == nil {
			r.load, r.loadErr = w.engine.Load(ctx)
		}
		w.probes <- r // has room for one
	})
}

func (w *watcher) probed(r probed) error {
	began := w.probing
	w.probing = time.Time{}
	if r.health != nil {
		w.failures++
		w.run.cfg.Log.Warn("engine does not answer its probe", "failures", w.failures, "error", r.health)
		if w.failures >= w.run.cfg.Policy.Unhealthy {
			return errUnhealthy
		}
		return nil
	}
	if r.full {
		w.failures = 0
	}
	if r.loadErr == nil && r.load.Known { // an engine that cannot tell its load may still serve
		if r.load.Steps > 0 {
			w.counted = true
			w.still.step(r.load.Steps, time.Since(w.probedAt), w.run.cfg.Policy.Hang/suspicion)
		}
		w.probedAt = began
		if r.load.PrefillTPS > 0 {
			w.engine.pulse.capReading(r.load.PrefillTPS)
		}
	}
	streamed := w.engine.pulse.streamed.Load()
	if r.full && r.loadErr == nil && (r.load.Known || r.load.Resident > 0 || streamed > 0) {
		w.run.post(&measured{w.run.attempt, r.load, streamed})
	}
	return nil
}

// sing has an engine that has been idle for long compute a little. What that costs
// is bounded: the dearer a canary, the rarer it is.
func (w *watcher) sing(ctx context.Context, now time.Time) {
	p := w.run.cfg.Policy
	if w.crowded && !w.askedAt.IsZero() && now.Sub(w.askedAt) < p.Rest {
		return
	}
	if w.trial == nil || p.Canary < 0 || w.singing || now.Sub(w.idleSince) < max(p.Canary, canaryShare*w.lastCost) {
		return
	}
	w.singing = true
	ctx, cancel := context.WithCancel(ctx)
	w.engine.pulse.canary.Store(&cancel)
	w.tasks.Go(func() {
		defer cancel()
		err := try(ctx, w.engine, *w.trial)
		cost := time.Since(now)
		switch refused := (*refusalError)(nil); {
		case ctx.Err() != nil: // somebody came
			cost = 0
		case err != nil && !errors.As(err, &refused):
			w.run.cfg.Log.Warn("canary request failed", "error", err)
		}
		w.canaries <- cost // has room for one
	})
}

// canaryShare is the least ratio between the time that passes and what canaries take of it.
const canaryShare = 10
