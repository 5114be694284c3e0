package instance

import (
	"errors"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Policy says how patient the actor is. Zero fields take the defaults named.
type Policy struct {
	GiveUp    int           // crashes in a row after which the instance has failed; 3
	First     time.Duration // wait after the first crash, doubled with each; 500 ms
	Last      time.Duration // longest wait; 30 s
	Stable    time.Duration // an engine that served for so long has its crashes forgotten; 30 s
	Start     time.Duration // limit on fetching and starting; 10 min
	Probe     time.Duration // between two probes; 1 s
	Unhealthy int           // probes in a row that may fail before the engine counts as crashed; 5
	Stop      time.Duration // limit on stopping, after which the engine is killed; 5 s
	WarmUp    time.Duration // limit on the first request, which is the actor's; 3 min

	// Hang is how long requests may wait while nothing moves, beyond what the engine's own pace explains,
	// before it counts as crashed; 1.4 s, so that a hang is found within 2 s. Negative: it never does.
	Hang time.Duration
	// Canary is how long an engine may idle before it is asked for one token; 3 s, so that a hang is found
	// within 10 s with CanaryLimit, the patience for that token; 4 s. Negative: it is never asked.
	Canary      time.Duration
	CanaryLimit time.Duration
	// Rest is how long after the last request canaries begin at engines in which they would push out what is
	// kept of conversations; 2 min.
	Rest time.Duration
}

func (p Policy) withDefaults() Policy {
	or := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	or(&p.First, 500*time.Millisecond)
	or(&p.Last, 30*time.Second)
	or(&p.Stable, 30*time.Second)
	or(&p.Start, 10*time.Minute)
	or(&p.Probe, time.Second)
	or(&p.Stop, 5*time.Second)
	or(&p.WarmUp, 3*time.Minute)
	or(&p.CanaryLimit, 4*time.Second)
	or(&p.Rest, 2*time.Minute)
	if p.Hang == 0 {
		p.Hang = 1400 * time.Millisecond
	}
	if p.Canary == 0 {
		p.Canary = 3 * time.Second
	}
	if p.GiveUp <= 0 {
		p.GiveUp = 3
	}
	if p.Unhealthy <= 0 {
		p.Unhealthy = 5
	}
	return p
}

// A verdict is what to do after an engine has ended.
type verdict struct {
	giveUp  bool
	wait    time.Duration // until the next start
	crashes int           // in a row, this one included
}

// judge decides after an engine ended with err, having served for so long (0: it
// never got ready), with crashes in a row before.
func (p Policy) judge(err error, served time.Duration, crashes int) verdict {
	if served >= p.Stable {
		crashes = 0
	}
	v := verdict{crashes: crashes + 1}
	v.giveUp = v.crashes >= p.GiveUp || hopeless(err)
	v.wait = p.First
	for range crashes {
		v.wait = min(2*v.wait, p.Last)
	}
	return v
}

// jittered is d, give or take a fifth: engines that ended together are not to load
// together. Random is from 0 to 1.
func jittered(d time.Duration, random float64) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*random))
}

// hopeless tells an error that the next start would only repeat.
func hopeless(err error) bool {
	var e *spec.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case spec.CodeEngineUnknown, spec.CodeEngineUnavailable, spec.CodeUnsupported, spec.CodeInvalidRequest:
		return true
	}
	return false
}
