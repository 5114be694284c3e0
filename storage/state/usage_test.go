package state

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func putUsage(ledger string, after, through uint64, rows ...*wire.UsageRow) *wire.Command {
	return &wire.Command{Level: 4, AtMs: 1_000_000, RequestId: "any", Body: &wire.Command_PutUsage{PutUsage: &wire.PutUsage{
		Ledger: ledger, Gateway: "n1", After: after, Through: through, Rows: rows}}}
}

func sumOf(atMS int64, tenant, key string, requests, tokens uint64) *wire.UsageRow {
	return &wire.UsageRow{AtMs: atMS, PeriodS: 60, Tenant: tenant, Key: key, User: "u-" + key, Deployment: "chat", Endpoint: "/v1/chat/completions",
		Region: "local", Outcome: spec.UsageOK, Requests: requests, Prompt: tokens, Cached: tokens / 2, Completion: 2 * tokens, GpuMs: 3 * tokens, Attempts: requests, DurationMs: tokens}
}

// total adds up what a query finds.
func (r *replica) total(q UsageQuery) (*wire.UsageRow, UsageSpan) {
	sum := &wire.UsageRow{}
	told := r.Usage(q, func(r *wire.UsageRow) bool { AddUsage(sum, r); return true })
	return sum, told
}

// TestUsageCountsOnce: a batch again, a part of one again and one out of turn count nothing.
func TestUsageCountsOnce(t *testing.T) {
	r := newReplica(t)
	for range 2 {
		if res := r.ok(t, putUsage("l1", 0, 3, sumOf(1000, "acme", "k1", 3, 10))); res.GetVersion() != 3 || res.GetReplayed() {
			t.Fatalf("it answers %v", res)
		}
	}
	r.refused(t, spec.CodeConflict, putUsage("l1", 2, 4, sumOf(1000, "acme", "k1", 2, 10)))
	if res := r.do(t, putUsage("l1", 7, 9, sumOf(1000, "acme", "k1", 2, 10))); res.GetCode() != string(spec.CodeConflict) || res.GetVersion() != 3 {
		t.Fatalf("a batch that leaves some out answers %v", res)
	}
	r.ok(t, putUsage("l1", 1, 3, sumOf(1000, "acme", "k1", 2, 10)))
	r.ok(t, putUsage("l2", 0, 1, sumOf(1000, "acme", "k1", 1, 7))) // another ledger
	if sum, _ := r.total(UsageQuery{ToMS: 2_000_000}); sum.GetRequests() != 4 || sum.GetPrompt() != 17 || sum.GetGpuMs() != 51 {
		t.Fatalf("they come to %v", sum)
	}
	theirs := putUsage("l1", 3, 4, sumOf(1000, "acme", "k1", 1, 7))
	theirs.GetPutUsage().Gateway = "n2"
	r.refused(t, spec.CodeForbidden, theirs)
	all := r.UsageLedgers()
	if len(all) != 2 || all[0].GetThrough() != 3 || all[1].GetThrough() != 1 {
		t.Fatalf("ledgers are counted as far as %v", all)
	}
	for name, c := range map[string]*wire.Command{"no ledger": putUsage("", 0, 1), "no records": putUsage("l3", 4, 4),
		"a zero byte": putUsage("l3", 0, 1, sumOf(1, "a\x00b", "k", 1, 1)), "too many": putUsage("l3", 0, 1, make([]*wire.UsageRow, maxUsageRows+1)...)} {
		t.Run(name, func(t *testing.T) { r.refused(t, spec.CodeInvalidRequest, c) })
	}
}

// TestUsageLeavesAnswers: what gateways tell all the time takes no answer's place.
func TestUsageLeavesAnswers(t *testing.T) {
	l := usual
	l.requests = 2
	r := start(t, vfs.NewMem(), l)
	defer r.db.Close()
	kept := putSetting("colour", "red")
	kept.RequestId = "kept"
	r.ok(t, kept)
	for i := range uint64(10) {
		r.ok(t, putUsage("l1", i, i+1, sumOf(1000, "acme", "k1", 1, 1)))
	}
	if res := r.ok(t, kept); !res.GetReplayed() {
		t.Fatal("the answer to a request was forgotten for usage")
	}
}

// TestUsageIsBounded in number and age, and says from when on it is whole.
func TestUsageIsBounded(t *testing.T) {
	l := usual
	l.usage = 5
	r := start(t, vfs.NewMem(), l)
	defer r.db.Close()
	r.ok(t, putSetting(spec.SettingUsageHours, "1"))
	const minute, day = int64(60_000), int64(86_400_000)
	for i := range int64(40) {
		c := putUsage("l1", uint64(i), uint64(i+1), sumOf(i*minute, "acme", "k1", 1, 10))
		c.AtMs = i * minute
		r.ok(t, c)
	}
	if n := r.UsageSums(); n != 5+1+1 {
		t.Fatalf("%d sums are kept, want 5 minutes, an hour and a day", n)
	}
	sum, told := r.total(UsageQuery{FromMS: 10 * minute, ToMS: 40 * minute, Coarsest: 60})
	if sum.GetRequests() != 40 || told.FromMS != 0 || told.ToMS != 60*minute {
		t.Fatalf("from 10 minutes on, of which the hour is kept, there are %d in %+v", sum.GetRequests(), told)
	}
	if sum, told = r.total(UsageQuery{FromMS: 36 * minute, ToMS: 38 * minute}); sum.GetRequests() != 2 || told.FromMS != 36*minute || told.ToMS != 38*minute {
		t.Fatalf("in two minutes that are kept there are %d in %+v", sum.GetRequests(), told)
	}
	late := putUsage("l1", 40, 41, sumOf(5*day, "acme", "k1", 1, 10), sumOf(2*day, "acme", "k2", 1, 10))
	late.AtMs = 5 * day
	r.ok(t, late)
	if n := r.UsageSums(); n != 2+1+3 { // the first minutes and hour are too old by then, and k2's hour when it comes
		t.Fatalf("%d sums are kept", n)
	}
	if sum, _ = r.total(UsageQuery{ToMS: 6 * day}); sum.GetRequests() != 42 {
		t.Fatalf("there are %d requests", sum.GetRequests())
	}
	again := r.restart(t)
	if sum, _ = again.total(UsageQuery{ToMS: 6 * day, Coarsest: 86400}); sum.GetRequests() != 42 {
		t.Fatalf("after a restart there are %d requests", sum.GetRequests())
	}
	r.db = again.db
}

// TestUsageOfAnyHistory: the sums over any time are those of the requests that
// ended in it, whatever was told twice, and a copy has the same.
func TestUsageOfAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := start(t, vfs.NewMem(), usual)
		defer r.db.Close()
		type request struct {
			atMS        int64
			tenant, key string
			tokens      uint64
		}
		var all []request
		through := map[string]uint64{}
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			ledger := rapid.SampledFrom([]string{"l1", "l2"}).Draw(t, "ledger")
			n := rapid.IntRange(1, 6).Draw(t, "requests")
			var rows []*wire.UsageRow
			for range n {
				q := request{rapid.Int64Range(0, 3*86_400_000).Draw(t, "at"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"),
					rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "key"), rapid.Uint64Range(0, 99).Draw(t, "tokens")}
				rows, all = append(rows, sumOf(q.atMS, q.tenant, q.key, 1, q.tokens)), append(all, q)
			}
			after := through[ledger]
			through[ledger] += uint64(n)
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				c := putUsage(ledger, after, through[ledger], rows...)
				c.AtMs = 3 * 86_400_000
				r.ok(t, c)
			}
		}
		q := UsageQuery{FromMS: rapid.Int64Range(0, 3*86_400_000).Draw(t, "from"), ToMS: rapid.Int64Range(0, 4*86_400_000).Draw(t, "to"),
			Coarsest: rapid.SampledFrom([]uint32{0, 60, 3600, 86400}).Draw(t, "coarsest"),
			Tenant:   rapid.SampledFrom([]string{"", "a"}).Draw(t, "of"), Key: rapid.SampledFrom([]string{"", "k1"}).Draw(t, "by"),
			Deployment: rapid.SampledFrom([]string{"", "chat"}).Draw(t, "with")}
		got, told := r.total(q)
		want := &wire.UsageRow{}
		for _, one := range all {
			if one.atMS >= told.FromMS && one.atMS < told.ToMS && (q.Tenant == "" || one.tenant == q.Tenant) && (q.Key == "" || one.key == q.Key) {
				AddUsage(want, sumOf(0, "", "", 1, one.tokens))
			}
		}
		if !proto.Equal(got, want) {
			t.Fatalf("from %d to %d there are\n%v, want\n%v", told.FromMS, told.ToMS, got, want)
		}
		if q.FromMS < q.ToMS && (q.FromMS-told.FromMS < 0 || q.FromMS-told.FromMS >= 60_000 || told.ToMS-q.ToMS < 0 || told.ToMS-q.ToMS >= 60_000) {
			t.Fatalf("asked from %d to %d, it tells of %d to %d", q.FromMS, q.ToMS, told.FromMS, told.ToMS)
		}
		other := start(t, vfs.NewMem(), usual)
		defer other.db.Close()
		try(t, other.ReadSnapshot(bytes.NewReader(snapshotOf(t, r.Store))))
		sameHash(t, "a copy", r.Store, other.Store)
		if same, _ := other.total(q); !proto.Equal(same, got) {
			t.Fatalf("a copy has %v", same)
		}
	})
}

// TestCoverIsExact: spans follow one another without a gap, and none is of sums
// that were dropped while coarser ones are there.
func TestCoverIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.Int64Range(0, 10*86_400_000).Draw(t, "from"), rapid.Int64Range(0, 10*86_400_000).Draw(t, "to")
		var whole [3]int64
		for i := range whole {
			whole[i] = rapid.Int64Range(0, 8*86_400_000).Draw(t, "whole")
		}
		coarsest := rapid.SampledFrom([]uint32{0, 60, 3600, 86400, 100_000}).Draw(t, "coarsest")
		got := cover(from, to, coarsest, whole)
		if from >= to {
			return
		}
		if len(got) == 0 || got[0].from > from || got[len(got)-1].to < to || got[0].from <= from-86_400_000 || got[len(got)-1].to >= to+86_400_000 {
			t.Fatalf("%d to %d is covered by %v", from, to, got)
		}
		for i, s := range got {
			length := int64(s.period) * 1000
			if s.from%length != 0 || s.to%length != 0 || s.from >= s.to || i > 0 && s.from != got[i-1].to {
				t.Fatalf("%v are no spans one after the other", got)
			}
			for j, p := range spec.UsagePeriods {
				if p == s.period && s.from < whole[j] && s.from >= whole[2] && p != 86400 {
					t.Fatalf("%v is of sums that were dropped before %v", s, whole)
				}
			}
		}
	})
}

// TestUsageByVersion: sums of another version are others, and those of none are
// where they were before versions were told.
func TestUsageByVersion(t *testing.T) {
	r := newReplica(t)
	of := func(version, requests uint64) *wire.UsageRow {
		row := sumOf(1000, "acme", "k1", requests, 10)
		row.Version = version
		return row
	}
	r.ok(t, putUsage("l1", 0, 3, of(0, 3)))
	c := putUsage("l1", 3, 10, of(0, 1), of(7, 2), of(8, 4))
	if wire.LevelOf(putUsage("l1", 0, 3, of(0, 3))) != 4 || wire.LevelOf(c) != 5 {
		t.Error("sums of versions are not of level 5, or others are")
	}
	c.Level = 5
	r.ok(t, c)
	for version, want := range map[uint64]uint64{0: 10, 7: 2, 8: 4, 9: 0} {
		if sum, _ := r.total(UsageQuery{ToMS: 2_000_000, Version: version}); sum.GetRequests() != want {
			t.Errorf("of version %d there are %d requests, want %d", version, sum.GetRequests(), want)
		}
	}
	if n := r.UsageSums(); n != 3*3 {
		t.Errorf("%d sums are kept, want those of three versions in three periods", n)
	}
	row := of(0, 1)
	if name := fmt.Sprintf("%x", usageName(row)); name != "0000003c00000000000003e8b7b8a60c8bad8fe2aa7a3d694256439d" {
		t.Errorf("a sum of no version has the name %s", name)
	}
}

// TestUsageUntilTheEndOfTime ends.
func TestUsageUntilTheEndOfTime(t *testing.T) {
	if all := cover(0, math.MaxInt64, 86400, [len(spec.UsagePeriods)]int64{}); len(all) != 3 || all[0] != (span{86400, 0, farthest - farthest%86_400_000}) {
		t.Errorf("it takes %v", all)
	}
}
