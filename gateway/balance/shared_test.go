package balance

import (
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func shares(most, now uint32) func(*wire.DeviceLoad) {
	return func(d *wire.DeviceLoad) {
		grants(d)
		d.Instances[0].Shares, d.Instances[0].Sharing = most, now
	}
}

func askShared() *Query {
	q := ask()
	q.Shared = true
	return q
}

// TestSharedRequestsTakeNoSlots: they go where all slots are taken, past those who wait
// for one, up to the bound that the actor tells; the rest wait, and leave no reservation.
func TestSharedRequestsTakeNoSlots(t *testing.T) {
	f, told := granting(Config{})
	f.tell("a", "north", 1, 1, shares(4, 0))
	var served []Grant
	if _, waits := f.enter(t, ask(), &served); !waits {
		t.Fatal("a slot where there is none")
	}
	reserved := len(*told)
	var held []Grant
	for range 4 {
		g, waits := f.enter(t, askShared(), &served)
		if waits {
			t.Fatal("one that shares a slot waits for its own")
		}
		held = append(held, g)
	}
	for range 2 {
		if _, waits := f.enter(t, askShared(), &served); !waits {
			t.Fatal("more than the actor takes")
		}
	}
	for _, r := range (*told)[reserved:] {
		if r.Count > 1 {
			t.Errorf("a reservation for one that shares: %+v", r)
		}
	}
	held[0].Release()
	if len(served) != 1 || served[0].Target.Instance != "i-a" || !served[0].shared {
		t.Fatalf("served %+v", served)
	}
	held[1].Rejected(&spec.Rejection{Reason: spec.RejectBusy}) // others have sent more than it takes
	if len(served) != 1 {
		t.Fatal("one that is full was sent more")
	}
	f.tell("a", "north", 1, 1, shares(4, 3))
	if len(served) != 2 {
		t.Fatalf("served %d", len(served))
	}
	f.Granted("a", spec.Lease{Instance: "i-a", ID: 9, Load: spec.Load{Slots: 1, Running: 1, Seq: f.seq}})
	if len(served) != 3 || served[2].Lease != 9 || served[2].shared {
		t.Fatalf("the slot went to %+v", served[2])
	}
}

// TestSharedRequestsSpread: of two instances the one that has fewer is chosen, and where
// nothing goes together slots count.
func TestSharedRequestsSpread(t *testing.T) {
	f, _ := granting(Config{})
	f.tell("a", "north", 1, 1, shares(64, 0))
	f.tell("b", "north", 1, 1, shares(64, 0))
	f.tell("c", "north", 1, 1, grants) // an older node
	n := map[spec.InstanceID]int{}
	var served []Grant
	for range 100 {
		g, waits := f.enter(t, askShared(), &served)
		if waits {
			t.Fatal("no room")
		}
		n[g.Target.Instance]++
	}
	if n["i-c"] != 0 || n["i-a"] < 36 || n["i-b"] < 36 {
		t.Errorf("%v", n)
	}
}

// TestSomeShareWhereTheirInstanceCan: elsewhere they take slots like others.
func TestSomeShareWhereTheirInstanceCan(t *testing.T) {
	f := newField(Config{})
	f.tell("a", "north", 1, 0, shares(4, 0))
	q := askShared()
	q.Sharing = spec.AbleRanks
	first := f.must(t, q)
	if first.shared {
		t.Error("it shares where its instance does not know how")
	}
	first.Release()
	f.tell("a", "north", 1, 0, shares(4, 0), func(d *wire.DeviceLoad) { d.Instances[0].Can = uint32(spec.AbleRanks | spec.AbleRerank) })
	for range 4 {
		if g := f.must(t, q); !g.shared {
			t.Error("it takes a slot for itself")
		}
	}
}
