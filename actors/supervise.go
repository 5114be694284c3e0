package actors

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
)

// A supervisor restarts an actor that has panicked, for ever: the first time at
// once, then later and later while it fails time and again. The library's own
// strategies stop an actor for good at the eleventh failure, without a word.
type supervisor struct {
	log      *slog.Logger
	restarts prometheus.Counter
}

const (
	failureWindow = time.Minute
	firstDelay    = 100 * time.Millisecond
	lastDelay     = 10 * time.Second
	mostFailures  = 64 // kept
)

// HandleFailure is called by the failed actor's parent, or for it.
func (s *supervisor) HandleFailure(_ *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any) {
	if rs.FailureCount() >= mostFailures {
		rs.Reset()
	}
	before := rs.NumberOfFailures(failureWindow)
	rs.Fail()
	wait := restartDelay(before)
	s.restarts.Inc()
	s.log.Error("actor has panicked and is restarted", "actor", child.GetId(), "message", fmt.Sprintf("%T", message),
		"panic", reason, "failures", before+1, "in", wait)
	if wait == 0 {
		parent.RestartChildren(child)
		return
	}
	time.AfterFunc(wait, func() { parent.RestartChildren(child) }) // its mailbox waits meanwhile
}

// restartDelay is how long to wait after so many recent failures.
func restartDelay(before int) time.Duration {
	if before == 0 {
		return 0
	}
	wait := firstDelay
	for range before - 1 {
		wait = min(2*wait, lastDelay)
	}
	return wait
}

// witnessed logs where an actor panicked, which its supervisor cannot see.
type witnessed struct {
	actor.Actor
	log *slog.Logger
}

func (w witnessed) Receive(c actor.Context) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("panic in an actor", "actor", c.Self().GetId(), "panic", p, "stack", string(debug.Stack()))
			panic(p)
		}
	}()
	w.Actor.Receive(c)
}
