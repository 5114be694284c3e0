package node

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

func digest(node string, boot, seq uint64, free uint64) *wire.LoadDigest {
	return &wire.LoadDigest{Node: node, Boot: boot, Devices: []*wire.DeviceLoad{{Device: "cpu/" + node, Seq: seq, MemoryFree: free}}}
}

func TestObservedKeepsTheNewest(t *testing.T) {
	o := newObserved(time.Now)
	for _, step := range []struct {
		name string
		d    *wire.LoadDigest
		want uint64 // free memory known afterwards
	}{
		{"the first", digest("a", 10, 1, 100), 100},
		{"a newer one", digest("a", 10, 3, 90), 90},
		{"one that was overtaken", digest("a", 10, 2, 80), 90},
		{"the same again", digest("a", 10, 3, 70), 90},
		{"the first of a new boot", digest("a", 11, 1, 60), 60},
		{"a late one of the old boot", digest("a", 10, 9, 50), 60},
	} {
		o.observe(step.d)
		got := o.devices()
		if len(got) != 1 || got[0].Load.MemoryFree != step.want || got[0].Node != "a" {
			t.Errorf("after %s: %v", step.name, got)
		}
	}
	o.observe(digest("b", 1, 1, 5))
	o.forget("a")
	if got := o.devices(); len(got) != 1 || got[0].Node != "b" {
		t.Errorf("after forgetting a: %v", got)
	}
}

func TestReadinessIsALatch(t *testing.T) {
	var r readiness
	if r.check() == nil {
		t.Fatal("ready before anything has started")
	}
	why := "its model is being loaded"
	r.why.Store(&why)
	if err := r.check(); err == nil || err.Error() != why {
		t.Errorf("got %v", err)
	}
	r.done.Store(true)
	if err := r.check(); err != nil {
		t.Errorf("not ready any more: %v", err)
	}
}
