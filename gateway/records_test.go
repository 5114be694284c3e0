package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestMergedPages: whatever gateways have, look at in one go and fail to answer, each record comes once, and each
// gateway's in its own order; while all answer whole pages, those of all come by time.
func TestMergedPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, all, total := rapid.IntRange(1, 5).Draw(t, "limit"), map[spec.NodeID][]FoundRecord{}, 0
		for g := range rapid.IntRange(0, 4).Draw(t, "gateways") {
			at := int64(1000)
			for i := range rapid.IntRange(0, 12).Draw(t, "records") {
				at += rapid.Int64Range(1, 50).Draw(t, "pause")
				id := spec.NodeID(fmt.Sprint("n", g))
				all[id] = append(all[id], FoundRecord{Number: uint64(i + 1), Record: &wire.UsageRecord{Request: fmt.Sprint(g, "-", i), AtMs: at}})
				total++
			}
		}
		steady := rapid.Bool().Draw(t, "steady")
		seen, last := map[string]bool{}, int64(1<<60)
		order := map[spec.NodeID]uint64{}
		var at places
		for pages := 0; ; pages++ {
			if pages > 500 {
				t.Fatal("no end")
			}
			var found []FoundRecords
			for id, records := range all {
				before, more := at[tagOf(id)]
				if at != nil && !more || !steady && at != nil && rapid.IntRange(0, 4).Draw(t, "silent") == 0 {
					continue
				}
				found = append(found, findIn(id, records, before, limit, !steady && rapid.Bool().Draw(t, "looks at few")))
			}
			slices.SortFunc(found, func(a, b FoundRecords) int { return int(a.Gateway[1]) - int(b.Gateway[1]) })
			page, next := mergeRecords(found, at, limit)
			comparePruned(t, found, at, limit, page, next)
			for _, r := range page {
				if seen[r.GetRequest()] || steady && r.GetAtMs() > last {
					t.Fatalf("%s again, or late", r.GetRequest())
				}
				seen[r.GetRequest()], last = true, r.GetAtMs()
				order[r.gateway]++
			}
			var err error
			if at, err = parsePlaces(next.cursor()); err != nil {
				t.Fatal(err)
			}
			if next.cursor() == "" {
				break
			}
		}
		if len(seen) != total {
			t.Fatalf("%d of %d", len(seen), total)
		}
	})
}

// findIn is what a gateway finds; few: it stops to look before it has all.
func findIn(id spec.NodeID, records []FoundRecord, before uint64, limit int, few bool) FoundRecords {
	out := FoundRecords{Gateway: id}
	looked := 0
	for i := len(records) - 1; i >= 0; i-- {
		r := records[i]
		if before > 0 && r.Number >= before {
			continue
		}
		if looked++; len(out.Records) == limit || few && looked > 1 {
			out.Next = r.Number + 1
			break
		}
		out.Records = append(out.Records, r)
	}
	return out
}

func FuzzPlaces(f *testing.F) {
	f.Add("a.1,b.zz")
	f.Add("a.0")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlaces(text)
		if err != nil || text == "" {
			return
		}
		again, err := parsePlaces(p.cursor())
		if err != nil || len(again) != len(p) {
			t.Fatalf("%q: %v %v", text, p, err)
		}
	})
}

// comparePruned has found come gateway by gateway, in any order, with only the newest held: the page is the same.
func comparePruned(t *rapid.T, found []FoundRecords, at places, limit int, page []mergedRecord, next places) {
	var held []FoundRecords
	for _, f := range rapid.Permutation(found).Draw(t, "order") {
		held = append(held, FoundRecords{f.Gateway, slices.Clone(f.Records), f.Next})
		slices.SortFunc(held, func(a, b FoundRecords) int { return strings.Compare(string(a.Gateway), string(b.Gateway)) })
		held = NewestRecords(held, limit)
		n := 0
		for _, f := range held {
			n += len(f.Records)
		}
		if n > limit {
			t.Fatalf("%d records are held for a page of %d", n, limit)
		}
	}
	again, on := mergeRecords(held, at, limit)
	if !slices.Equal(again, page) || !maps.Equal(on, next) {
		t.Fatalf("held all: %v, then %v; the newest alone: %v, then %v", page, next, again, on)
	}
}
