package placement

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// note is of a node that has those presets and no other.
func note(presets ...string) *wire.NodeNote {
	n := &wire.NodeNote{}
	for _, name := range presets {
		n.Presets = append(n.Presets, &wire.Preset{Name: name})
	}
	return n
}

func (s *sim) tells(node string, n *wire.NodeNote) {
	if s.o.Notes == nil {
		s.o.Notes = map[spec.NodeID]*wire.NodeNote{}
	}
	s.o.Notes[spec.NodeID(node)] = n
}

func TestEnginesAreWhereTheirPresetIs(t *testing.T) {
	s := three()
	s.deploy("m", 3, 2*gib).Engine = "abacus"
	s.tells("n1", note("embedded", "abacus"))
	s.tells("n2", note("embedded"))
	s.tells("n3", nil)
	s.run(t, nil)
	want(t, "placed", s.on(), map[string]int{"n1": 3})
	e := Explain(s.w, s.o, s.w.Deployments[0], nil)
	for device, text := range map[string]string{"gpu/n1-0": "", "gpu/n2-0": "its node cannot run the engine abacus: it has no engine preset abacus; it has embedded",
		"gpu/n3-0": "it has not told yet"} {
		if got := verdictOf(t, e, device).Refusal; text == "" && got != "" || !strings.Contains(got, text) {
			t.Errorf("%s says %q", device, got)
		}
	}
	delete(s.o.Notes, "n2") // an older build: it is tried
	s.w.Deployments[0].Version++
	s.run(t, nil)
	if s.on()["n2"] == 0 {
		t.Errorf("placed on %v", s.on())
	}
}

func TestWhatNoNodeCanRunIsSaid(t *testing.T) {
	s := three()
	s.deploy("m", 1, 4*gib).Engine = "vllm"
	for _, id := range []string{"n1", "n2", "n3"} {
		n := note("embedded")
		n.Presets = append(n.Presets, &wire.Preset{Name: "vllm", Lacks: "vllm is not on this machine"})
		s.tells(id, n)
	}
	actions := Plan(s.w, s.o)
	if len(actions) != 1 || actions[0].Kind != Unplaced || actions[0].Reason != "no node that may take it has the engine vllm; of node n1: vllm is not on this machine" {
		t.Errorf("%+v", actions)
	}
}

func learnt(l ...*wire.LearntMemory) *wire.NodeNote {
	n := note("embedded")
	n.Learnt = l
	return n
}

// TestLearntMemoryIsPreferred to an estimate, on devices where it was learnt.
func TestLearntMemoryIsPreferred(t *testing.T) {
	m := &wire.Model{Name: "m", Digest: []byte{0xab}, Size: 8 * gib}
	d := &wire.Deployment{Name: "d", Version: 1, Engine: "embedded", Model: "m", Replicas: 1}
	estimate := Memory(d, m)
	of := func(bytes uint64, agreed bool) *wire.LearntMemory {
		return &wire.LearntMemory{Model: "ab", Engine: "embedded", Flags: "context=0 slots=0", Device: "G", Bytes: bytes, Loads: 3, Agreed: agreed}
	}
	for name, c := range map[string]struct {
		notes  []*wire.LearntMemory // of n1 and n2
		stated uint64
		want   uint64
		source wire.MemorySource
	}{
		"nothing":          {nil, 0, estimate, wire.MemorySource_MEMORY_SOURCE_ESTIMATED},
		"less, agreed":     {[]*wire.LearntMemory{of(6*gib, true)}, 0, 6 * gib, wire.MemorySource_MEMORY_SOURCE_LEARNT},
		"less, not agreed": {[]*wire.LearntMemory{of(6*gib, false)}, 0, estimate, wire.MemorySource_MEMORY_SOURCE_ESTIMATED},
		"less elsewhere":   {[]*wire.LearntMemory{of(6*gib, true), of(7*gib, true)}, 0, 7 * gib, wire.MemorySource_MEMORY_SOURCE_LEARNT},
		"in dispute":       {[]*wire.LearntMemory{of(6*gib, true), of(7*gib, false)}, 0, estimate, wire.MemorySource_MEMORY_SOURCE_ESTIMATED},
		"half at least":    {[]*wire.LearntMemory{of(1*gib, true)}, 0, estimate / 2, wire.MemorySource_MEMORY_SOURCE_LEARNT},
		"far more":         {[]*wire.LearntMemory{of(40*gib, false)}, 0, 2 * estimate, wire.MemorySource_MEMORY_SOURCE_LEARNT},
		"far more, agreed": {[]*wire.LearntMemory{of(40*gib, true)}, 0, 40 * gib, wire.MemorySource_MEMORY_SOURCE_LEARNT},
		"more":             {[]*wire.LearntMemory{of(13*gib, false)}, 0, 13 * gib, wire.MemorySource_MEMORY_SOURCE_LEARNT},
		"stated":           {[]*wire.LearntMemory{of(13*gib, true)}, 5 * gib, 5 * gib, wire.MemorySource_MEMORY_SOURCE_STATED},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim()
			s.node("n1", "eu", 64*gib)
			s.node("n2", "eu")
			s.device("gpu/n1-0").Name = "G"
			s.w.Models = []*wire.Model{m}
			d.MemoryBytes = c.stated
			s.w.Deployments = []*wire.Deployment{d}
			for i, l := range c.notes {
				s.tells([]string{"n1", "n2"}[i], learnt(l))
			}
			actions := Plan(s.w, s.o)
			if len(actions) != 1 || actions[0].Kind != Place || actions[0].Memory != c.want || actions[0].Source != c.source {
				t.Errorf("%+v, want %d by %v", actions, c.want, c.source)
			}
			v := verdictOf(t, Explain(s.w, s.o, d, nil), "gpu/n1-0")
			if v.Needs != c.want || v.Source != c.source {
				t.Errorf("%d of %v are told", v.Needs, v.Source)
			}
		})
	}
}

// TestUnplacedTellsWhatItNeeds: what was learnt, where that is what no device has.
func TestUnplacedTellsWhatItNeeds(t *testing.T) {
	s := newSim()
	s.node("n1", "eu", 12*gib)
	s.device("gpu/n1-0").Name = "G"
	m := &wire.Model{Name: "m", Digest: []byte{0xab}, Size: 8 * gib}
	d := &wire.Deployment{Name: "d", Version: 1, Engine: "embedded", Model: "m", Replicas: 1}
	s.w.Models, s.w.Deployments = []*wire.Model{m}, []*wire.Deployment{d}
	s.tells("n1", learnt(&wire.LearntMemory{Model: "ab", Engine: "embedded", Flags: "context=0 slots=0", Device: "G", Bytes: 13 * gib, Loads: 1}))
	actions := Plan(s.w, s.o)
	want := fmt.Sprintf("no device has %d MiB free beside its head-room: so much was learnt, of loads measured: 1, where %d MiB are estimated", 13<<10, ceilMiB(Memory(d, m)))
	if len(actions) != 1 || actions[0].Kind != Unplaced || actions[0].Memory != 13*gib || actions[0].Reason != want {
		t.Errorf("%+v, want %s", actions, want)
	}
}

// TestShortNamesAreRecognised: a digest without room cuts the device's name.
func TestShortNamesAreRecognised(t *testing.T) {
	m := memory{estimate: 10, learnt: map[string]Learnt{"A device with a name that is long": {Bytes: 20, Loads: 1}, "Another": {Bytes: 30}}}
	if l, known := m.on(&wire.DeviceLoad{Name: "A device with a name that is long"[:shortName]}); !known || l.Bytes != 20 {
		t.Errorf("%+v", l)
	}
	if _, known := m.on(&wire.DeviceLoad{Name: "A device"}); known {
		t.Error("any beginning of a name will do")
	}
}
