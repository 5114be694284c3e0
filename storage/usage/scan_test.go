package usage

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// sameAs says where the scan has something else than the record, of the fields that the message has.
func (s *scan) sameAs(r *wire.UsageRecord) error {
	fields := r.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		v, n := r.ProtoReflect().Get(f), int(f.Number())
		same := false
		switch f.Kind() {
		case protoreflect.StringKind:
			same = string(s.name(n)) == v.String()
		case protoreflect.Uint64Kind:
			same = s.numbers[n] == v.Uint()
		case protoreflect.Int64Kind:
			same = int64(s.numbers[n]) == v.Int()
		case protoreflect.Uint32Kind:
			same = uint64(uint32(s.numbers[n])) == v.Uint()
		case protoreflect.BoolKind:
			same = (s.numbers[n] != 0) == v.Bool()
		}
		if !same {
			return fmt.Errorf("%s is not %v", f.Name(), v)
		}
	}
	return nil
}

// FuzzScan: whatever proto.Unmarshal takes for a record is scanned as the same, fields of a later build or not; what else
// is scanned or not, but nothing else happens.
func FuzzScan(f *testing.F) {
	whole := encode(make([]byte, 8), served(7))
	f.Add(whole)
	f.Add([]byte{})
	f.Add(append(slices.Clone(whole), whole[8:]...))
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:bytes.Index(whole, []byte("acme"))+2])
	f.Add(protowire.AppendVarint(protowire.AppendTag(slices.Clone(whole), fieldTenant, protowire.VarintType), 1<<40))
	f.Add(protowire.AppendString(protowire.AppendTag(slices.Clone(whole), fieldPrompt, protowire.BytesType), "x"))
	f.Add(protowire.AppendString(protowire.AppendTag(slices.Clone(whole), fieldCache+1, protowire.BytesType), "later"))
	f.Add(protowire.AppendVarint(protowire.AppendTag(slices.Clone(whole), 1000, protowire.VarintType), 1<<63))
	f.Add(protowire.AppendFixed32(protowire.AppendTag(slices.Clone(whole), fieldKey, protowire.Fixed32Type), 7))
	f.Add(protowire.AppendGroup(protowire.AppendTag(slices.Clone(whole), fieldUser, protowire.StartGroupType), fieldUser, whole[8:]))
	f.Add(append(slices.Clone(whole), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Add(append(slices.Clone(whole), 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, value []byte) {
		value = slices.Clip(value)
		var s scan
		s.names[fieldTenant].to = 1 << 20 // of another
		err := s.read(recordKey(1), value)
		_, r, bad := decode(recordKey(1), value)
		if bad != nil {
			if err == nil {
				_, _ = (&sum{}).add(&s, 1)
			}
			return
		}
		if err == nil {
			err = s.sameAs(r)
		}
		if err != nil {
			t.Fatalf("%x: %v", value, err)
		}
	})
}

// TestSum: records are summed up with those of the same minute that are alike, and with no others, as far as rows go.
func TestSum(t *testing.T) {
	name := rapid.SampledFrom([]string{"", "a", "b", "ab", "ba", strings.Repeat("a", 200)})
	few := rapid.Uint64Range(0, 2)
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 20).Draw(t, "most")
		s := sum{versions: rapid.Bool().Draw(t, "versions")}
		want := map[string]*wire.UsageRow{}
		for range rapid.IntRange(1, 40).Draw(t, "records") {
			r := &wire.UsageRecord{AtMs: int64(few.Draw(t, "minute"))*minuteMS/2 - minuteMS/4, Request: name.Draw(t, "request"), Version: few.Draw(t, "version"), Unknown: rapid.Bool().Draw(t, "unknown"),
				Prompt: few.Draw(t, "prompt"), Cached: few.Draw(t, "cached"), Completion: few.Draw(t, "completion"), GpuMs: few.Draw(t, "gpu"), Attempts: uint32(few.Draw(t, "attempts")), DurationMs: few.Draw(t, "duration")}
			which := rapid.IntRange(0, 8).Draw(t, "which")
			for i, at := range []*string{&r.Tenant, &r.User, &r.Key, &r.Deployment, &r.Adapter, &r.Endpoint, &r.Region, &r.Outcome} {
				if which == 8 || which == i {
					*at = name.Draw(t, "name")
				}
			}
			row := &wire.UsageRow{AtMs: r.AtMs / minuteMS * minuteMS, PeriodS: 60, Tenant: r.Tenant, User: r.User, Key: r.Key, Deployment: r.Deployment, Adapter: r.Adapter, Endpoint: r.Endpoint, Region: r.Region, Outcome: r.Outcome}
			if s.versions {
				row.Version = r.Version
			}
			var got scan
			try(t, got.read(recordKey(1), encode(make([]byte, 8), r)))
			added, err := s.add(&got, most)
			try(t, err)
			id := row.String()
			if want[id] == nil {
				if added != (len(want) < most) {
					t.Fatalf("with %d of %d rows, another begins: %v", len(want), most, added)
				}
				if !added {
					continue
				}
				want[id] = row
			}
			row = want[id]
			row.Requests++
			if r.Unknown {
				row.Unknown++
			}
			row.Prompt, row.Cached, row.Completion = row.Prompt+r.Prompt, row.Cached+r.Cached, row.Completion+r.Completion
			row.GpuMs, row.Attempts, row.DurationMs = row.GpuMs+r.GpuMs, row.Attempts+uint64(r.Attempts), row.DurationMs+r.DurationMs
		}
		rows := slices.Collect(maps.Values(want))
		equal := func(row *wire.UsageRow) bool {
			return slices.ContainsFunc(rows, func(w *wire.UsageRow) bool { return proto.Equal(w, row) })
		}
		if len(s.rows) != len(rows) || slices.ContainsFunc(s.rows, func(row *wire.UsageRow) bool { return !equal(row) }) {
			t.Fatalf("the sums are %v, want %v", s.rows, rows)
		}
	})
}

// TestASumIsText: what is no UTF-8 cannot be told.
func TestASumIsText(t *testing.T) {
	var r scan
	try(t, r.read(recordKey(1), append(make([]byte, 8), fieldTenant<<3|2, 1, 0xff)))
	if added, err := (&sum{}).add(&r, 1); added || err == nil {
		t.Fatalf("%q is added: %v", r.name(fieldTenant), err)
	}
}

// TestRetain holds what is kept to a model that looks at each record.
func TestRetain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(day)
		l, db := (&cluster{}).openIn(t, vfs.NewMem(), func(cfg *Config) {
			cfg.Journal, cfg.Now = 0, func() time.Time { return now }
			cfg.Keep = func() time.Duration { return 10 * time.Millisecond }
		})
		defer func() { end(t, l, db) }()
		first, records, before := uint64(1), []*wire.UsageRecord{nil}, []uint64{0, 0}
		for range rapid.IntRange(1, 4).Draw(t, "turns") {
			for range rapid.IntRange(0, 20).Draw(t, "records") {
				r := request(strings.Repeat("x", rapid.IntRange(0, 30).Draw(t, "long")))
				r.AtMs += rapid.Int64Range(-20, 20).Draw(t, "at")
				records, before = append(records, r), append(before, before[len(before)-1]+size(r))
				l.Note(r)
			}
			l.flush(t.Context())
			n := uint64(len(records))
			l.mu.told = max(l.mu.told, rapid.Uint64Range(0, n-1).Draw(t, "told"))
			l.cfg.Bytes = rapid.Uint64Range(0, 2000).Draw(t, "bytes")
			try(t, l.retain())
			for first < n && (before[n]-before[first] > l.cfg.Bytes || first <= l.mu.told && records[first].AtMs < day-10) {
				first++
			}
			if l.mu.first != first || l.mu.lowest != before[first] {
				t.Fatalf("records from %d on are kept, with %d bytes before, want %d and %d", l.mu.first, l.mu.lowest, first, before[first])
			}
			it, err := db.Pebble().NewIter(nil)
			try(t, err)
			if ok := it.SeekGE(recordKey(0)); ok && bytes.Compare(it.Key(), recordKey(first)) < 0 {
				t.Fatalf("record %d is there", numberOf(it.Key()))
			}
			try(t, it.Close())
		}
	})
}
