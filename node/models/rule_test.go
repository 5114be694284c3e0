package models

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/blobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func aModel(name, importer string) *wire.Model {
	sum := sha256.Sum256([]byte(name))
	return &wire.Model{Name: name, Digest: sum[:], ImportedOn: importer}
}

func drawView(r *rapid.T) View {
	v := View{Copies: rapid.IntRange(1, 5).Draw(r, "copies"), Placed: map[string][]spec.NodeID{}, Fresh: true}
	for i := range rapid.IntRange(1, 8).Draw(r, "nodes") {
		v.Keepers = append(v.Keepers, spec.NodeID(fmt.Sprintf("n%d", i)))
	}
	v.Self = rapid.SampledFrom(v.Keepers).Draw(r, "self")
	for i := range rapid.IntRange(0, 5).Draw(r, "models") {
		m := aModel(fmt.Sprintf("m%d", i), rapid.SampledFrom([]string{"", "n0", "n1", "gone"}).Draw(r, "importer"))
		v.Models = append(v.Models, m)
		v.Placed[m.GetName()] = rapid.SliceOfN(rapid.SampledFrom(v.Keepers), 0, 4).Draw(r, "placed")
	}
	return v
}

// TestHomes: enough, where models are placed, the same for all, and moved little.
func TestHomes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := drawView(r)
		for _, m := range v.Models {
			homes := Homes(v, m)
			placed := map[spec.NodeID]bool{}
			for _, id := range v.Placed[m.GetName()] {
				placed[id] = true
				if !slices.Contains(homes, id) {
					r.Fatalf("%s is placed on %s, and not kept there: %v", m.GetName(), id, homes)
				}
			}
			if want := max(len(placed), min(v.Copies, len(v.Keepers))); len(homes) != want {
				r.Fatalf("%d homes, want %d", len(homes), want)
			}
			if slices.Contains(v.Keepers, spec.NodeID(m.GetImportedOn())) && len(homes) > len(placed) && !slices.Contains(homes, spec.NodeID(m.GetImportedOn())) {
				r.Fatalf("the importer is passed over: %v", homes)
			}
			other := v
			other.Self = v.Keepers[0]
			if !slices.Equal(homes, Homes(other, m)) {
				r.Fatal("nodes differ about the homes")
			}
			dead := rapid.SampledFrom(v.Keepers).Draw(r, "dead")
			without := v
			without.Keepers = slices.DeleteFunc(slices.Clone(v.Keepers), func(id spec.NodeID) bool { return id == dead })
			for _, id := range homes {
				if id != dead && !slices.Contains(Homes(without, m), id) {
					r.Fatalf("the death of %s moves %s's model away", dead, id)
				}
			}
		}
	})
}

// TestNothingThatIsNeededIsDiscarded draws what is there, and holds each removal against its reason.
func TestNothingThatIsNeededIsDiscarded(t *testing.T) {
	now := time.Unix(1e9, 0)
	rapid.Check(t, func(r *rapid.T) {
		s := scene{view: drawView(r), now: now, grace: time.Hour, needless: map[string]time.Time{}, inUse: map[string]bool{}, limit: rapid.Int64Range(0, 60).Draw(r, "limit")}
		safe := rapid.Bool().Draw(r, "safe")
		s.safe = func(*wire.Model) bool { return safe }
		known := map[string]*wire.Model{}
		for _, m := range append(slices.Clone(s.view.Models), aModel("orphan", ""), aModel("older", "")) {
			digest := m.GetDigest()
			h := blobs.Held{Digest: digest, Bytes: 10, Used: now.Add(-time.Duration(rapid.IntRange(0, 120).Draw(r, "minutes")) * time.Minute),
				Kind: rapid.SampledFrom([]blobs.Kind{blobs.Whole, blobs.Whole, blobs.Partial, blobs.Damaged}).Draw(r, "kind")}
			s.held = append(s.held, h)
			s.inUse[string(digest)] = rapid.Bool().Draw(r, "in use")
			s.needless[string(digest)] = now.Add(-time.Duration(rapid.IntRange(0, 120).Draw(r, "needless")) * time.Minute)
		}
		want := map[string]bool{}
		for _, m := range s.view.Models {
			known[fmt.Sprintf("%x", m.GetDigest())] = m
		}
		for _, m := range wanted(s.view) {
			want[fmt.Sprintf("%x", m.GetDigest())] = true
		}
		total := int64(0)
		for _, h := range s.held {
			if h.Kind == blobs.Whole && known[fmt.Sprintf("%x", h.Digest)] != nil {
				total += h.Bytes
			}
		}
		for _, d := range discard(s) {
			switch {
			case blobs.Kind(d.Kind) == blobs.Damaged && d.Cause == causeDamaged:
			case blobs.Kind(d.Kind) == blobs.Partial && d.Cause == causePartial && !want[d.Digest] && (safe || known[d.Digest] == nil):
			case blobs.Kind(d.Kind) == blobs.Whole && d.Cause == causeOrphan && known[d.Digest] == nil:
			case blobs.Kind(d.Kind) == blobs.Whole && d.Cause == causePressure && known[d.Digest] != nil && !want[d.Digest] && safe && !d.InUse && s.limit > 0 && total > s.limit:
				total -= d.Bytes
				continue
			default:
				r.Fatalf("%+v is to go", d)
			}
			for _, h := range s.held {
				if fmt.Sprintf("%x", h.Digest) == d.Digest && d.InMS == 0 && now.Sub(h.Used) < s.grace {
					r.Fatalf("%+v goes before its time", d)
				}
			}
		}
	})
}

func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	v := View{Self: "n9", Keepers: []spec.NodeID{"n1", "n2", "n9"}, Copies: 2, Fresh: true, Placed: map[string][]spec.NodeID{}}
	s := scene{view: v, now: time.Now(), grace: time.Hour, limit: 25, safe: func(*wire.Model) bool { return true }}
	for i, name := range []string{"new", "old", "middle"} {
		m := aModel(name, "")
		s.view.Models = append(s.view.Models, m)
		s.view.Placed[name] = []spec.NodeID{"n1", "n2"}
		s.held = append(s.held, blobs.Held{Digest: m.Digest, Kind: blobs.Whole, Bytes: 10, Used: s.now.Add(-time.Duration([]int{1, 9, 5}[i]) * time.Hour)})
	}
	if got := discard(s); len(got) != 1 || got[0].Model != "old" || got[0].InMS != 0 {
		t.Errorf("to go: %+v", got)
	}
	s.limit = 9
	if got := discard(s); len(got) != 3 || got[1].Model != "middle" {
		t.Errorf("to go: %+v", got)
	}
}
