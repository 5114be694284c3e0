package node

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestPartsAreJoined: whatever is lost, doubled or overtaken, what comes out is what a
// device has told, whole; and all comes out that has all come.
func TestPartsAreJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := newJoints()
		told := map[uint64]*wire.DeviceLoad{}
		var way []*wire.DeviceLoad
		complete := map[uint64]bool{}
		for seq := range uint64(rapid.IntRange(1, 6).Draw(t, "digests")) {
			d := &wire.DeviceLoad{Device: "gpu/1", Seq: seq + 1, Name: "N", MemoryTotal: 7, Links: []string{"gpu/2"}}
			for i := range rapid.IntRange(1, 60).Draw(t, "instances") {
				d.Instances = append(d.Instances, &wire.InstanceLoad{Instance: fmt.Sprintf("instance-%d-of-a-long-name", i), Deployment: "a-deployment", Running: uint32(seq)})
			}
			told[d.Seq] = proto.CloneOf(d)
			complete[d.Seq] = true
			for _, p := range gpu.Parts(d) {
				switch rapid.IntRange(0, 9).Draw(t, "fate") {
				case 0:
					complete[d.Seq] = false
				case 1:
					way = append(way, p, proto.CloneOf(p))
				default:
					way = append(way, p)
				}
			}
		}
		straight := rapid.Bool().Draw(t, "in order")
		if !straight {
			way = rapid.Permutation(way).Draw(t, "way")
		}
		last, out := uint64(0), map[uint64]bool{}
		for _, p := range way {
			for _, d := range j.whole(&wire.LoadDigest{Node: "n1", Boot: 1, Devices: []*wire.DeviceLoad{p}}).Devices {
				if torn := p.Parts > 0; torn && d.Seq < last { // of whole ones, who observes them sees to that
					t.Fatalf("%d after %d", d.Seq, last)
				} else if torn {
					last = d.Seq
				}
				if !proto.Equal(d, told[d.Seq]) {
					t.Fatalf("%v came out of %v", d, told[d.Seq])
				}
				out[d.Seq] = true
			}
		}
		for seq, all := range complete {
			if straight && all && !out[seq] {
				t.Fatalf("%d has all come, and did not come out", seq)
			}
		}
	})
}

func TestOddPartsAreDropped(t *testing.T) {
	j := newJoints()
	for _, p := range []*wire.DeviceLoad{{Device: "d", Seq: 1, Part: 0, Parts: 2}, {Device: "d", Seq: 1, Part: 3, Parts: 2}, {Device: "d", Seq: 1, Part: 1, Parts: mostParts + 1}} {
		if d := j.whole(&wire.LoadDigest{Node: "n", Devices: []*wire.DeviceLoad{p}}); len(d.Devices) != 0 {
			t.Errorf("%v came out of %v", d, p)
		}
	}
	one := &wire.DeviceLoad{Device: "d", Seq: 2, Part: 1, Parts: 2}
	other := &wire.DeviceLoad{Device: "d", Seq: 2, Part: 2, Parts: 2}
	j.whole(&wire.LoadDigest{Node: "n", Boot: 1, Devices: []*wire.DeviceLoad{one}})
	if d := j.whole(&wire.LoadDigest{Node: "n", Boot: 2, Devices: []*wire.DeviceLoad{other}}); len(d.Devices) != 0 {
		t.Error("parts of two lives are joined")
	}
	j.forget("n")
	if d := j.whole(&wire.LoadDigest{Node: "n", Boot: 1, Devices: []*wire.DeviceLoad{one, other}}); len(d.Devices) != 1 {
		t.Error("after it was forgotten, it is not taken in")
	}
}
