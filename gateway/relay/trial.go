package relay

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/openai"
)

// trials are how the requests of deployments with a canary have fared since this gateway first had
// one for it: what was asked of each of the two versions.
type trials struct {
	mu struct {
		sync.Mutex
		by map[string]*wire.Trial // by deployment
	}
	attempts *prometheus.CounterVec
	first    *prometheus.SummaryVec
}

func newTrials(reg prometheus.Registerer) *trials {
	t := &trials{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_canary_attempts_total",
			Help: "What engines were asked for deployments with a canary: of its own version or of the canary's, and what came of it."}, []string{"deployment", "of", "outcome"}),
		first: prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "lotabots_gateway_canary_first_byte_seconds",
			Help: "Time from a place to the first byte of the answer, of deployments with a canary."}, []string{"deployment", "of"}),
	}
	t.mu.by = map[string]*wire.Trial{}
	if reg != nil {
		reg.MustRegister(t.attempts, t.first)
	}
	return t
}

// count notes one attempt; first is its first byte's time, in seconds, 0 where that says nothing.
func (t *trials) count(deployment string, canary, own, version uint64, failed bool, first float64) {
	if version != canary && version != own {
		return // it is on its way out
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.mu.by[deployment]
	switch {
	case of == nil || of.GetCanary() < canary || of.GetCanary() == canary && of.GetVersion() < own:
		of = &wire.Trial{Deployment: deployment, Canary: canary, Version: own, Own: &wire.Fare{}, Tried: &wire.Fare{}}
		t.mu.by[deployment] = of
	case of.GetCanary() > canary || of.GetVersion() > own: // of a request from before
		return
	}
	fare, name, outcome := of.Own, "own", "answered"
	if version == canary {
		if fare, name = of.Tried, "canary"; of.SinceMs == 0 {
			of.SinceMs = time.Now().UnixMilli()
		}
	}
	if fare.Attempts++; failed {
		fare.Failed++
		outcome = "failed"
	}
	t.attempts.WithLabelValues(deployment, name, outcome).Inc()
	if first > 0 {
		fare.Firsts++
		fare.FirstSeconds += first
		t.first.WithLabelValues(deployment, name).Observe(first)
	}
}

// Trials tells of those for which goes is true, and forgets the others.
func (r *Relay) Trials(goes func(deployment string, canary uint64) bool) (out []*wire.Trial) {
	t := r.trials
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, of := range t.mu.by {
		if !goes(name, of.GetCanary()) {
			delete(t.mu.by, name)
			t.attempts.DeletePartialMatch(prometheus.Labels{"deployment": name})
			t.first.DeletePartialMatch(prometheus.Labels{"deployment": name})
			continue
		}
		out = append(out, proto.CloneOf(of)) // which is counted on
	}
	return out
}

// fared counts how the request's first attempt has ended, for what its deployment's canary is judged by: one that the
// other version has failed before is no measure. Says nothing of the version: an answer that was kept, or is another's;
// want of room, also the engine's; what never came to an engine.
func (x *Exchange) fared(err error) {
	q := &x.Query
	if q.Canary == 0 || x.judged || x.failures > 0 || x.others(err) || x.out.Status == http.StatusTooManyRequests || err != nil && !ofEngine(err) {
		return
	}
	x.judged = true
	first := 0.0
	if err == nil && x.out.Attempts == 1 {
		first = max((x.out.FirstByte - x.queued).Seconds(), 0)
	}
	x.r.trials.count(x.Call.Deployment, q.Canary, q.Own, x.grant.Version, err != nil, first)
}

// ofEngine tells whether the engine has failed the attempt, as far as can be told.
func ofEngine(err error) bool {
	var public *spec.Error
	switch {
	case errors.Is(err, errNodeGone), errors.Is(err, errMute), errors.Is(err, errTooLong), errors.Is(err, openai.ErrNoContinuation):
		return false
	case errors.As(err, &public), errors.Is(err, spec.ErrBroken), errors.Is(err, errStatus), errors.Is(err, errEngine), errors.Is(err, errNoAnswer), errors.Is(err, errUnfinished), errors.Is(err, errStalled):
		return true
	}
	return false
}

// concluded counts an answer that came whole, or that its engine refused or broke off.
func (x *Exchange) concluded(out *Outcome) {
	switch {
	case x.Query.Canary == 0 || out.Attempts == 0 || out.Gone:
	case out.Err == nil:
		x.fared(nil)
	case x.r.watcher.finalCause(&x.watch) == nil && (out.Status >= 400 || out.FirstByte > 0):
		x.fared(out.Err)
	}
}
