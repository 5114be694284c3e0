package relay

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Trials are how the requests of deployments with a canary have fared since this gateway first had
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
func (t *trials) count(deployment string, canary, version uint64, failed bool, first float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.mu.by[deployment]
	switch {
	case of == nil || of.GetCanary() < canary:
		of = &wire.Trial{Deployment: deployment, Canary: canary, Own: &wire.Fare{}, Tried: &wire.Fare{}}
		t.mu.by[deployment] = of
	case of.GetCanary() > canary:
		return
	}
	fare, name, outcome := of.Own, "own", "answered"
	if version == canary {
		fare, name = of.Tried, "canary"
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
			for _, version := range []string{"own", "canary"} {
				t.attempts.DeletePartialMatch(prometheus.Labels{"deployment": name, "of": version})
				t.first.DeleteLabelValues(name, version)
			}
			continue
		}
		out = append(out, &wire.Trial{Deployment: name, Canary: of.GetCanary(),
			Own:   &wire.Fare{Attempts: of.Own.Attempts, Failed: of.Own.Failed, Firsts: of.Own.Firsts, FirstSeconds: of.Own.FirstSeconds},
			Tried: &wire.Fare{Attempts: of.Tried.Attempts, Failed: of.Tried.Failed, Firsts: of.Tried.Firsts, FirstSeconds: of.Tried.FirstSeconds}})
	}
	return out
}

// fared counts the present attempt for what its deployment's canary is judged by. Answers that
// were kept, and other deployments', say nothing of it.
func (x *Exchange) fared(failed bool) {
	if x.Canary == 0 || x.fell != x.Instead || x.cached.free() || x.judged == x.out.Attempts {
		return
	}
	x.judged = x.out.Attempts
	first := 0.0
	if !failed && x.out.Attempts == 1 {
		first = max((x.out.FirstByte - x.queued).Seconds(), 0)
	}
	x.r.trials.count(x.Call.Deployment, x.Canary, x.grant.Version, failed, first)
}

// concluded counts the last attempt, of an answer that came whole, or broke off where its client could see it.
func (x *Exchange) concluded(out *Outcome) {
	if x.Canary == 0 || out.Attempts == 0 || out.Gone {
		return
	}
	switch {
	case out.Err == nil:
		x.fared(false)
	case out.FirstByte > 0 && out.Err.Code.Lookup().Status >= 500 && !x.late():
		x.fared(true)
	}
}
