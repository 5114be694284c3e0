package balance

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// being has a device's instance be of that version.
func being(version uint64, state wire.InstanceState) func(*wire.DeviceLoad) {
	return func(d *wire.DeviceLoad) { d.Instances[0].Version, d.Instances[0].State = version, state }
}

// beside is a request of a deployment of version own with a canary of version 2, for the version.
func beside(version, own uint64) *Query {
	return ask(func(q *Query) { q.Version, q.Own, q.Canary = version, own, 2 })
}

// TestCanaryIsForItsPart: it serves others' requests only where nobody else does, nor will once loaded;
// and what it has no room for goes where the others' requests go.
func TestCanaryIsForItsPart(t *testing.T) {
	const cold, loading, failed = wire.InstanceState_INSTANCE_STATE_COLD, wire.InstanceState_INSTANCE_STATE_LOADING, wire.InstanceState_INSTANCE_STATE_FAILED
	type at struct {
		version uint64
		state   wire.InstanceState
		running uint32
	}
	for name, c := range map[string]struct {
		own, canary at
		q           *Query
		want        uint64 // the version that serves
	}{
		"its part":                             {at{1, ready, 0}, at{2, ready, 0}, beside(2, 1), 2},
		"the others'":                          {at{1, ready, 0}, at{2, ready, 0}, beside(1, 1), 1},
		"it is full":                           {at{1, ready, 0}, at{2, ready, 4}, beside(2, 1), 1},
		"it is not there yet":                  {at{1, ready, 0}, at{2, loading, 0}, beside(2, 1), 1},
		"a newer version than it is not ready": {at{1, ready, 0}, at{2, ready, 0}, beside(3, 3), 1},
		"the others' is cold, and loaded":      {at{1, cold, 0}, at{2, ready, 0}, beside(1, 1), 1},
		"it is full, and the others' is cold":  {at{1, cold, 0}, at{2, ready, 4}, beside(2, 1), 0},
		"the others' has failed":               {at{1, failed, 0}, at{2, ready, 0}, beside(1, 1), 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(Config{})
			f.tell("a", "north", 4, c.own.running, being(c.own.version, c.own.state))
			f.tell("b", "north", 4, c.canary.running, being(c.canary.version, c.canary.state))
			if c.want == 0 {
				var served []Grant
				if _, waits := f.enter(t, c.q, &served); !waits {
					t.Fatal("it does not wait")
				}
				f.tell("b", "north", 4, 0, being(2, ready))
				if len(served) != 1 || served[0].Version != 2 {
					t.Errorf("served %v", served)
				}
				return
			}
			if g := f.must(t, c.q); g.Version != c.want {
				t.Errorf("version %d serves, want %d", g.Version, c.want)
			}
		})
	}
}

// TestAFullCanaryHoldsNobodyUp, and one that has room takes its part past those who wait.
func TestAFullCanaryHoldsNobodyUp(t *testing.T) {
	f := newField(Config{})
	f.tell("a", "north", 2, 1, being(1, ready))
	f.tell("b", "north", 1, 1, being(2, ready))
	var served []Grant
	if g, waits := f.enter(t, beside(2, 1), &served); waits || g.Version != 1 {
		t.Fatalf("the canary's waits, or is served by %d", g.Version)
	}
	for _, q := range []*Query{beside(2, 1), beside(1, 1)} {
		if _, waits := f.enter(t, q, &served); !waits {
			t.Fatal("there is a place where there is none")
		}
	}
	f.tell("b", "north", 1, 0, being(2, ready))
	if g, waits := f.enter(t, beside(2, 1), &served); waits || g.Version != 2 || len(served) != 0 {
		t.Fatalf("a canary that has room: waits is %v, version %d, and %d of those who waited were served", waits, g.Version, len(served))
	}
	f.tell("a", "north", 4, 2, being(1, ready))
	if len(served) != 2 || served[0].Version != 1 || served[1].Version != 1 {
		t.Fatalf("those who waited: %v", served)
	}
}

// TestCanaryInNeed: where the others' instances are lost it serves, though another of its own is being loaded.
func TestCanaryInNeed(t *testing.T) {
	f := newField(Config{})
	f.tell("a", "north", 4, 0, being(1, wire.InstanceState_INSTANCE_STATE_FAILED))
	f.tell("b", "north", 4, 0, being(2, ready))
	f.tell("c", "north", 4, 0, being(2, wire.InstanceState_INSTANCE_STATE_LOADING))
	if g := f.must(t, beside(1, 1)); g.Target.Instance != "i-b" {
		t.Errorf("%s serves", g.Target.Instance)
	}
}

// TestPinnedWaitsForItsVersion: what a version began is waited for until an instance of it is there, though another's is.
func TestPinnedWaitsForItsVersion(t *testing.T) {
	f := newField(Config{ReadyTimeout: time.Minute})
	f.tell("b", "north", 4, 0, being(2, ready))
	q := beside(1, 1)
	q.Pinned, q.Broke, q.Expected = true, time.Now(), true
	var served []Grant
	if _, waits := f.enter(t, q, &served); !waits {
		t.Fatal("it does not wait")
	}
	f.tell("c", "north", 4, 0, being(1, ready))
	if len(served) != 1 || served[0].Target.Instance != "i-c" {
		t.Fatalf("served is %v", served)
	}
}
