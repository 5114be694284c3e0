package node

import (
	"cmp"
	"time"

	"github.com/lotabots/lotabots/cluster/rollout"
	"github.com/lotabots/lotabots/cluster/wire"
)

// trialStale is after how long what a gateway has told of a canary is not believed any more.
const trialStale = time.Minute

type toldTrial struct {
	*wire.Trial // not changed any more
	at          time.Time
}

// tries tells whether the state has that canary.
func (n *Node) tries(deployment string, canary uint64) bool {
	d, ok := n.state.Deployment(deployment)
	return ok && d.Tries(canary)
}

// trials is what all gateways tell of canaries, by deployment; of its newest canary beside its newest version alone.
func (d *demands) trials(now time.Time) map[string]rollout.Trial {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]rollout.Trial{}
	for _, t := range d.mu.by {
		for name, w := range t.trials {
			if now.Sub(w.at) > trialStale {
				delete(t.trials, name)
				continue
			}
			s := out[name]
			switch newer := cmp.Or(cmp.Compare(w.GetCanary(), s.Canary), cmp.Compare(w.GetVersion(), s.Version)); {
			case newer < 0:
				continue
			case newer > 0:
				s = rollout.Trial{Canary: w.GetCanary(), Version: w.GetVersion()}
			}
			s.Own.Add(w.GetOwn())
			s.Tried.Add(w.GetTried())
			if at := time.UnixMilli(w.GetSinceMs()); w.GetSinceMs() > 0 && (s.Since.IsZero() || at.Before(s.Since)) {
				s.Since = at
			}
			out[name] = s
		}
	}
	return out
}
