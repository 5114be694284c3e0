package instance

import (
	"errors"
	"sync"
	"time"
)

// The phases of a start.
const (
	PhaseFetch  = "fetch"   // the model's file is brought here
	PhaseLaunch = "launch"  // the engine's process is started
	PhaseLoad   = "load"    // it loads the model
	PhaseWarmUp = "warm-up" // it answers its first request
)

// phases tell how far a start is. Most calls come from the run's goroutine; the
// process's start is told from within the engine's.
type phases struct {
	run *run
	mu  struct {
		sync.Mutex
		now     string
		since   time.Time
		percent uint32
	}
}

// enter ends the phase before; "": the start is over.
func (p *phases) enter(phase string) {
	p.mu.Lock()
	before, since := p.mu.now, p.mu.since
	p.mu.now, p.mu.since, p.mu.percent = phase, time.Now(), 0
	p.mu.Unlock()
	if before != "" {
		took := time.Since(since)
		p.run.cfg.Log.Info("start of an engine", "phase", before, "seconds", took.Seconds(), "next", phase)
		if p.run.cfg.Phase != nil {
			p.run.cfg.Phase(before, took)
		}
	}
	if phase != "" {
		p.run.post(&progressed{p.run.attempt, phase, 0})
	}
}

// part tells which part of a phase is done, if it still is the phase: whole percents, and no step back.
func (p *phases) part(of string, done float64) {
	percent := uint32(100 * min(max(done, 0), 1))
	p.mu.Lock()
	news := p.mu.now == of && percent > p.mu.percent
	if news {
		p.mu.percent = percent
	}
	p.mu.Unlock()
	if news {
		p.run.post(&progressed{p.run.attempt, of, percent})
	}
}

// Causes of an engine's end, as they are counted.
const (
	CauseCrash     = "crash"
	CauseStart     = "start" // it never served
	CauseHung      = "hung"
	CauseFault     = "fault"
	CauseUnhealthy = "unhealthy"
)

func causeOf(err error, served bool) string {
	hung, fault := (*hungError)(nil), (*faultError)(nil)
	switch {
	case errors.As(err, &hung):
		return CauseHung
	case errors.As(err, &fault):
		return CauseFault
	case errors.Is(err, errUnhealthy):
		return CauseUnhealthy
	case !served:
		return CauseStart
	}
	return CauseCrash
}
