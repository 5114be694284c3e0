package reconcile

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/placement"
	"github.com/lotabots/lotabots/cluster/rollout"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestCanariesAreJudged: one that does as well takes the deployment's place when its time is over, one
// that fails is given up at once, and there are never too few beside it.
func TestCanariesAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		tried   rollout.Fare
		after   time.Duration // by when it is over
		want    map[uint64]int
		because string
	}{
		"as good": {rollout.Fare{Attempts: 60, Firsts: 60, FirstSeconds: 6}, 70 * time.Second, map[uint64]int{1: 0, 2: 2}, "0 of its 60 requests failed"},
		"worse":   {rollout.Fare{Attempts: 20, Failed: 9}, 12 * time.Second, map[uint64]int{1: 2, 2: 0}, "9 of its 20 requests failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testJudged(t, c.tried, c.after, c.want, c.because) })
		})
	}
}

func testJudged(t *testing.T, tried rollout.Fare, after time.Duration, want map[uint64]int, because string) {
	w := newWorld(t, "n1", "n2", "n3")
	w.deploy("chat", 1, 2)
	config, trial, fails := w.config(), rollout.Trial{}, 1
	config.Trials = func() map[string]rollout.Trial {
		return locked(w, func() map[string]rollout.Trial { return map[string]rollout.Trial{"chat": trial} })
	}
	w.propose = func(c *wire.Command) error {
		if c.GetEndCanary() != nil && fails > 0 {
			fails--
			return errors.New("there is no leader")
		}
		return nil
	}
	_, stop := w.run(config)
	time.Sleep(10 * time.Second)
	w.change(func() {
		d := proto.CloneOf(w.deployments[0])
		d.LastVersion = 2
		d.Canary = &wire.Canary{Replicas: 1, Percent: 20, BeganMs: time.Now().UnixMilli(), Runs: &wire.Deployment{Version: 2, Engine: "embedded", MemoryBytes: gib},
			Verdict: &wire.Verdict{AfterMs: 60_000, Requests: 50, Failures: 0.02, Slower: 1.5}}
		w.deployments = []*wire.Deployment{d}
		trial = rollout.Trial{Canary: 2, Version: 1, Since: time.Now(), Own: rollout.Fare{Attempts: 200, Firsts: 200, FirstSeconds: 20}}
	})
	time.Sleep(8 * time.Second)
	if a, b := w.ready("chat", 1), w.ready("chat", 2); a != 2 || b != 1 {
		t.Fatalf("%d and %d serve beside each other", a, b)
	}
	w.change(func() { trial.Tried = tried })
	for end := time.Now().Add(after); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if a, b := w.ready("chat", 1), w.ready("chat", 2); a+b < 2 {
			t.Fatalf("%d and %d serve", a, b)
		}
	}
	for version, n := range want {
		if got := w.ready("chat", version); got != n {
			t.Errorf("%d serve of version %d, want %d", got, version, n)
		}
	}
	stop()
	var ends []*wire.EndCanary
	for _, p := range w.proposed {
		if e := p.GetEndCanary(); e != nil {
			ends = append(ends, e)
		}
	}
	if len(ends) != 2 || !strings.Contains(ends[1].GetReason(), because) || ends[1].GetPromote() != (want[2] > 0) {
		t.Errorf("the loop proposed %v", ends)
	}
}

// TestACanarysFailureIsRemembered, so that it is not tried again on the device at once.
func TestACanarysFailureIsRemembered(t *testing.T) {
	m, now := newMemory(), time.Unix(1000, 0)
	wanted := placement.Wanted{
		Deployments: []*wire.Deployment{{Name: "chat", Version: 1, Canary: &wire.Canary{Runs: &wire.Deployment{Version: 2}}}},
		Nodes:       []*wire.Node{{Id: "n1", Roles: []string{"worker"}, State: wire.NodeState_NODE_STATE_ACTIVE}},
		Placements:  []*wire.Placement{{Instance: "i", Deployment: "chat", Version: 2, Node: "n1", Device: "gpu/n1", Epoch: 5}},
	}
	o := placement.Observed{Now: now, Alive: map[spec.NodeID]bool{"n1": true}, Devices: []placement.Device{{Node: "n1", Load: &wire.DeviceLoad{
		Device: "gpu/n1", Health: "ok", Instances: []*wire.InstanceLoad{{Instance: "i", Deployment: "chat", Version: 2, Epoch: 5, State: wire.InstanceState_INSTANCE_STATE_FAILED}}}}}}
	m.recall(wanted, &o, nil)
	if f := o.Failures[placement.FailureKey{Deployment: "chat", Version: 2, Device: "gpu/n1"}]; f.Count != 1 {
		t.Errorf("%+v", o.Failures)
	}
	o.Devices[0].Load.Instances = nil
	m.recall(wanted, &o, nil)
	if _, broken := standingOf(o, version{"chat", 2}); !broken {
		t.Error("it counts as whole again")
	}
}
