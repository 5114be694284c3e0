package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/balance"
)

// hedgeTokens is the length of prompt up to which an answer is asked for twice: that
// of a longer one depends on it more than on the instance.
const hedgeTokens = 2048

// dial opens the attempt's stream. A short request that may be hedged and is not
// answered in the time in which 95 of 100 are, is sent to a second instance too,
// where one has a place that nobody waits for and the retry budget has an attempt left.
// The first whole answer is the request's; the other is ended at once.
func (x *Exchange) dial(body []byte) (spec.Stream, error) {
	x.grant.Bind(&x.Call)
	if !x.Hedge || x.Call.Stream || x.Call.Cache != nil && x.Call.Cache.Only || x.Query.PromptTokens > hedgeTokens {
		return x.r.cfg.Opener.Open(x.work, x.grant.Target, x.Call, body)
	}
	learnt, began := x.r.speeds.of(x.Call.Deployment, x.Call.Path), time.Now()
	first := x.leg(x.grant)
	var second *leg
	if after := learnt.limit(); after > 0 {
		second = x.hedge(first, after)
	}
	won := first
	if second != nil {
		won = x.winner(first, second)
	}
	<-won.done
	if won.err != nil {
		return nil, won.err
	}
	learnt.took(time.Since(began))
	return won.answer, nil
}

// A leg is one of the attempts for an answer. Its fields are its goroutine's until
// done is closed.
type leg struct {
	grant  balance.Grant
	cancel context.CancelFunc
	done   chan struct{}
	answer *held
	err    error
}

// leg begins to ask at grant's instance.
func (x *Exchange) leg(grant balance.Grant) *leg {
	ctx, cancel := context.WithCancel(x.work)
	l := &leg{grant: grant, cancel: cancel, done: make(chan struct{})}
	call, body, target := x.Call, x.Body, grant.Target
	call.Version = grant.Version
	x.r.legs.Go(func() {
		defer close(l.done)
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				l.err = x.r.recovered(x, p)
			}
		}()
		l.answer, l.err = x.r.ask(ctx, target, call, body, x.Room)
	})
	return l
}

// hedge waits for first, and begins a second leg when it is late; nil: there is none.
func (x *Exchange) hedge(first *leg, after time.Duration) *leg {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-first.done:
		return nil
	case <-x.work.Done():
		return nil
	case <-timer.C:
	}
	q := x.Query
	q.Exclude = append(q.Exclude[:len(q.Exclude):len(q.Exclude)], first.grant.Target.Instance)
	grant, ok := x.r.cfg.Table.Spare(&q, first.grant.Version)
	if !ok {
		x.r.metrics.hedges.WithLabelValues("no_room").Inc()
		return nil
	}
	if !x.budgeted() {
		grant.Release()
		return nil
	}
	x.out.Attempts++
	x.Call.Attempt = x.out.Attempts
	grant.Bind(&x.Call)
	return x.leg(grant)
}

// winner waits for the first good answer, or for both to fail, gives back what the
// loser holds, and makes the winner's place the exchange's.
func (x *Exchange) winner(first, second *leg) *leg {
	won, lost := first, second
	select {
	case <-first.done:
		if first.bad() {
			<-second.done
			if !second.bad() {
				won, lost = second, first
			}
		}
	case <-second.done:
		if second.bad() {
			<-first.done
		} else {
			won, lost = second, first
		}
	}
	outcome := "first"
	if won == second {
		outcome = "second"
		x.grant = second.grant
	}
	x.r.metrics.hedges.WithLabelValues(outcome).Inc()
	lost.cancel()
	select {
	case <-lost.done: // it may have failed, which its instance is to be blamed for
		x.blameLoser(lost)
		lost.answer.drop()
	default:
		x.r.legs.Go(func() {
			<-lost.done
			lost.answer.drop()
			lost.grant.Release()
		})
	}
	return won
}

// bad tells whether another answer would be better; done must be closed.
func (l *leg) bad() bool {
	return l.err != nil || l.answer.Status() >= http.StatusInternalServerError || l.answer.Status() == http.StatusTooManyRequests
}

func (x *Exchange) blameLoser(l *leg) {
	var refused *spec.Rejection
	var public *spec.Error
	switch {
	case l.err == nil || x.work.Err() != nil || x.r.watcher.finalCause(&x.watch) != nil:
	case errors.As(l.err, &refused):
		l.grant.Rejected(refused)
	case errors.Is(l.err, spec.ErrJoined), errors.Is(l.err, spec.ErrBehind): // another request's
	case errors.As(l.err, &public) && public.Code.Lookup().Status < 500:
	default:
		if brokeOff(l.err) {
			x.brokeOff++
		}
		l.grant.Failed()
	}
	l.grant.Release()
}

// ask has one instance give its whole answer.
func (r *Relay) ask(ctx context.Context, target spec.Target, call spec.Call, body []byte, room Room) (*held, error) {
	s, err := r.cfg.Opener.Open(ctx, target, call, body)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	unhook := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer unhook()
	h := &held{status: s.Status(), kind: s.ContentType(), room: room}
	if c, ok := s.(spec.Cached); ok {
		h.cached.how, h.cached.age = c.Cached()
	}
	h.hides = hides(s)
	if err := h.gather(s, r.cfg.MaxAnswer); err != nil {
		h.drop()
		if h.cached.free() {
			err = fmt.Errorf("%w: %w", spec.ErrJoined, err)
		}
		return nil, err
	}
	_ = s.Close()
	h.load, h.told = s.Load()
	if t, ok := s.(spec.Timed); ok {
		h.took, h.timed = t.Held()
	}
	return h, nil
}

// A held answer is a spec.Stream that is whole already.
type held struct {
	bytes.Reader
	all    []byte
	status int
	kind   string
	load   spec.Load
	told   bool
	took   time.Duration // for which a slot was held
	timed  bool          // its node told it
	hides  bool
	cached cached
	room   Room
	taken  int // of room
	once   sync.Once
}

// gather reads the whole of s, most bytes at most.
func (h *held) gather(s io.Reader, most int) error {
	var all []byte
	for {
		var err error
		if all, err = grown(all, most, h.room, &h.taken); err != nil {
			return err
		}
		n, err := s.Read(all[len(all):cap(all)])
		all = all[:len(all)+n]
		switch {
		case len(all) > most:
			return errTooLong
		case err == io.EOF:
			h.all = all
			h.Reset(all)
			return nil
		case err != nil:
			return err
		}
	}
}

// drop gives the memory back; nil has none.
func (h *held) drop() {
	if h == nil {
		return
	}
	h.once.Do(func() {
		if h.taken > 0 {
			h.room.Back(h.taken)
		}
	})
}

// Status is the engine's.
func (h *held) Status() int { return h.status }

// ContentType is the engine's.
func (h *held) ContentType() string { return h.kind }

// Load is what came with the answer.
func (h *held) Load() (spec.Load, bool) { return h.load, h.told }

// Held implements spec.Timed.
func (h *held) Held() (time.Duration, bool) { return h.took, h.timed }

// Hides implements spec.Hiding.
func (h *held) Hides() bool { return h.hides }

// hides tells whether s is an answer in which it is hidden what was cached.
func hides(s spec.Stream) bool {
	h, ok := s.(spec.Hiding)
	return ok && h.Hides()
}

// Cached implements spec.Cached.
func (h *held) Cached() (spec.CacheResult, time.Duration) { return h.cached.how, h.cached.age }

// Close gives back what the answer holds; nothing is open.
func (h *held) Close() error {
	h.drop()
	return nil
}

// speeds are what is learnt of how long answers take, by deployment and path.
type speeds struct {
	mu struct {
		sync.Mutex
		of map[string]*speed
	}
}

// manySpeeds bounds how many are kept; past it all is learnt anew.
const manySpeeds = 2048

func (all *speeds) of(deployment, path string) *speed {
	key := deployment + " " + path
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.mu.of[key]
	if s == nil {
		if all.mu.of == nil || len(all.mu.of) >= manySpeeds {
			all.mu.of = map[string]*speed{}
		}
		s = &speed{}
		all.mu.of[key] = s
	}
	return s
}
