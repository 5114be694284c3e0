package gpu

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestFarewellsEnd(t *testing.T) {
	tab := newTestTable()
	in := tab.mustAdd(t, model("a", 1, 1))
	if _, err := tab.remove(&wire.UnloadModel{Instance: "a", Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	tab.ended(in)
	for n := range farewells {
		if i := tab.snapshot(traceEpoch).Instances; len(i) != 1 || i[0].State != gone {
			t.Fatalf("digest %d tells %v", n, i)
		}
		tab.told()
	}
	if i := tab.snapshot(traceEpoch).Instances; len(i) != 0 {
		t.Errorf("still told of %v", i)
	}
}

// TestADeviceAlwaysFitsInADatagram: instances are taken as long as the digest has
// room, whatever their names and reasons.
func TestADeviceAlwaysFitsInADatagram(t *testing.T) {
	for _, length := range []int{1, 20, 60, maxName} {
		tab := newTestTable()
		tab.device.Name = strings.Repeat("N", 300)
		tab.reading.Health, tab.sampled = strings.Repeat("é", 300), true
		taken := 0
		for i := range 100 {
			m := model(fmt.Sprintf("%0*d", max(length, 3), i), 1<<40, 0)
			m.Deployment, m.Version = strings.Repeat("d", length), 1<<40
			if _, err := tab.add(m, fine); err != nil {
				wantCode(t, err, spec.CodeOutOfMemory)
				break
			}
			taken++
			in := tab.instances[spec.InstanceID(m.Instance)]
			tab.becomes(in, isReady, stub{slots: 256, context: 1 << 20})
			in.reason, in.leases, in.prefill, in.decode = strings.Repeat("r", maxReason), 256, 1234.5, 99
			in.busy = engine.Load{Known: true, KVUse: 0.5, Queued: 1000}
			in.able = spec.Abilities{Can: 1<<31 | 1, Cannot: 1 << 30}
		}
		d := tab.snapshot(traceEpoch)
		d.Seq = 1 << 40
		parts, told := Parts(d), 0
		for i, p := range parts {
			told += len(p.Instances)
			if p.Device != d.Device || p.Seq != 1<<40 || int(p.Part) != i+1 || int(p.Parts) != len(parts) {
				t.Errorf("part %d of %d: %v", i+1, len(parts), p)
			}
		}
		if !fitting(parts) || told != taken || taken != maxInstances {
			t.Errorf("names of %d bytes: %d instances, %d of them told in %d parts", length, taken, told, len(parts))
		}
		t.Logf("names of %d bytes: %d instances in %d parts", length, taken, len(parts))
	}
}

func TestPartsKeepWhatFits(t *testing.T) {
	d := &wire.DeviceLoad{Device: "gpu/1", Name: "name", Instances: []*wire.InstanceLoad{
		{Instance: "a", State: failed, Reason: strings.Repeat("x", 150)}, {Instance: "b", State: gone}}}
	want := proto.CloneOf(d)
	if got := Parts(d); len(got) != 1 || !proto.Equal(got[0], want) {
		t.Errorf("%v", got)
	}
}

func TestClip(t *testing.T) {
	for _, s := range []string{"", "abc", strings.Repeat("é", 50), "a\xffb"} {
		for n := range 12 {
			if got := clip(s, n); len(got) > n || !utf8.ValidString(got) {
				t.Errorf("clip(%q, %d) is %q", s, n, got)
			}
		}
	}
}

func TestQueuedIsWhatOthersBrought(t *testing.T) {
	in := &inst{leases: 3, busy: engine.Load{Known: true, Running: 4, Queued: 2}}
	if got := in.queued(); got != 3 {
		t.Errorf("queued %d, want 3 beyond the 3 leases", got)
	}
	in.busy.Running, in.busy.Queued = 1, 1
	if got := in.queued(); got != 0 {
		t.Errorf("queued %d, want 0", got)
	}
}

func TestSpeedLearns(t *testing.T) {
	var s speed
	s.learn(100, 10)
	if s != 100 {
		t.Errorf("the first sample makes %v", s)
	}
	s.learn(200, 1000)
	if s < 129 || s > 131 {
		t.Errorf("a thousand tokens weigh 0.3: %v", s)
	}
	before := s
	s.learn(0, 10)
	s.learn(50, 0)
	if s != before {
		t.Errorf("nothing was learnt from nothing: %v", s)
	}
}
