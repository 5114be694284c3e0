package rollout

import (
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Fare is how requests of one version have fared, at all gateways together.
type Fare struct {
	Attempts, Failed int // that an engine answered or failed; of these those that it failed
	Firsts           int // attempts whose first byte was timed
	FirstSeconds     float64
}

// Add adds what one gateway tells.
func (f *Fare) Add(w *wire.Fare) {
	f.Attempts, f.Failed = f.Attempts+int(w.GetAttempts()), f.Failed+int(w.GetFailed())
	f.Firsts, f.FirstSeconds = f.Firsts+int(w.GetFirsts()), f.FirstSeconds+w.GetFirstSeconds()
}

// failing is the share of the attempts that failed.
func (f *Fare) failing() float64 {
	if f.Attempts == 0 {
		return 0
	}
	return float64(f.Failed) / float64(f.Attempts)
}

// first is the mean time to the first byte.
func (f *Fare) first() float64 { return f.FirstSeconds / float64(max(f.Firsts, 1)) }

// A Trial is what is known of a canary.
type Trial struct {
	Canary     uint64 // its version, of which the fares are
	Version    uint64 // of the deployment itself, of which Own is
	Own, Tried Fare
	Since      time.Time // when it served first; zero: it has not
	Ready      int       // its instances that serve
	Broken     bool      // some have failed, and are not tried at present
}

// A Verdict is what becomes of a canary now.
type Verdict uint8

// The verdicts.
const (
	Wait    Verdict = iota // it goes on
	Promote                // the deployment runs what it runs from now on
	GiveUp                 // it ends
)

func (v Verdict) String() string { return [...]string{"wait", "promote", "give_up"}[min(v, GiveUp)] }

// Judge says what becomes of d's canary at now, and why. One that fails more often than it may is given up as
// soon as that is certain: when it has had the requests that it is judged by, or fails so many that the rest of
// them cannot mend it. How soon it answers counts once its time is over, when what it has to cache is cached.
func Judge(d *wire.Deployment, t Trial, now time.Time) (Verdict, string) {
	c, version := d.GetCanary(), d.GetVersion()
	v := c.GetVerdict()
	if v == nil {
		return Wait, "somebody decides"
	}
	if t.Canary != c.GetRuns().GetVersion() || t.Version != version {
		t = Trial{Ready: t.Ready, Broken: t.Broken} // nobody has told of these two yet
	}
	allowed := t.Own.failing() + v.GetFailures()
	enough := max(int(v.GetRequests()), 1)
	if t.Tried.Failed > 0 && float64(t.Tried.Failed)/float64(max(t.Tried.Attempts, enough)) > allowed {
		return GiveUp, fmt.Sprintf("%d of its %d requests failed, and %d of %d of the version beside it", t.Tried.Failed, t.Tried.Attempts, t.Own.Failed, t.Own.Attempts)
	}
	after := time.Duration(v.GetAfterMs()) * time.Millisecond
	switch {
	case t.Ready == 0 && t.Broken && t.Since.IsZero() && now.Sub(time.UnixMilli(c.GetBeganMs())) >= after:
		return GiveUp, fmt.Sprintf("its instances failed, and none serves after %v", after)
	case t.Ready == 0:
		return Wait, "no instance of it serves"
	case t.Since.IsZero() || now.Sub(t.Since) < after:
		return Wait, fmt.Sprintf("it is to serve for %v", after)
	case t.Own.Attempts == 0 && c.GetPercent() < 100:
		return Wait, "nothing is known of the version beside it"
	case t.Tried.Attempts < enough:
		return Wait, fmt.Sprintf("it has had %d requests of %d", t.Tried.Attempts, enough)
	case t.Own.Firsts > 0 && t.Tried.first() > t.Own.first()*v.GetSlower():
		return GiveUp, fmt.Sprintf("its first byte took %.3f s in the mean, and %.3f s of the version beside it", t.Tried.first(), t.Own.first())
	}
	return Promote, fmt.Sprintf("%d of its %d requests failed, and its first byte took %.3f s in the mean; of the version beside it %d of %d, and %.3f s",
		t.Tried.Failed, t.Tried.Attempts, t.Tried.first(), t.Own.Failed, t.Own.Attempts, t.Own.first())
}
