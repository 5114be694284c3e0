package node

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestTrialsAreSummed over gateways, of the newest canary alone, and not for ever.
func TestTrialsAreSummed(t *testing.T) {
	d, now := newDemands(), time.Unix(1000, 0)
	tell := func(node string, boot, canary uint64, attempts, failed uint32) {
		d.heard(&wire.LoadDigest{Node: node, Boot: boot, Trials: []*wire.Trial{{Deployment: "m", Canary: canary,
			Own: &wire.Fare{Attempts: 100}, Tried: &wire.Fare{Attempts: attempts, Failed: failed, Firsts: attempts - failed, FirstSeconds: 1}}}}, now)
	}
	tell("a", 2, 7, 3, 1)
	tell("a", 2, 7, 10, 1) // the newest stands for all before
	tell("a", 1, 7, 900, 0)
	tell("b", 1, 7, 5, 2)
	tell("c", 1, 6, 50, 50) // has not heard of the newest
	got := d.trials(now)["m"]
	if got.Canary != 7 || got.Tried.Attempts != 15 || got.Tried.Failed != 3 || got.Tried.Firsts != 12 || got.Tried.FirstSeconds != 2 || got.Own.Attempts != 200 {
		t.Errorf("%+v", got)
	}
	if got := d.trials(now.Add(trialStale + 1)); len(got) != 0 {
		t.Errorf("what is old is believed: %v", got)
	}
}
