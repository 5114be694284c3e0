package memory

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

func keyed(slots uint32) Key {
	return KeyOf(&wire.LoadModel{Digest: []byte{0xab}, Engine: "embedded", Slots: slots, Options: map[string]string{"threads": "2", "embeddings": "on"}}, "GPU")
}

func TestLearntRaisesReservations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "learnt.json")
	l, err := OpenLearnt(path)
	if err != nil {
		t.Fatal(err)
	}
	reserve := func(l *Learnt, k Key, asked uint64) uint64 {
		return l.Of(k, t0).Reserve(asked, wire.MemorySource_MEMORY_SOURCE_UNSPECIFIED)
	}
	if got := reserve(l, keyed(1), 1000); got != 1000 {
		t.Errorf("%d before anything was measured", got)
	}
	l.Note(keyed(1), "a", 2000, t0)
	l.Note(keyed(1), "b", 1500, t0.Add(time.Hour)) // the most counts
	for asked, want := range map[uint64]uint64{1500: 2040, 1000: 2000, 5000: 5000, 0: 0} {
		if got := reserve(l, keyed(1), asked); got != want {
			t.Errorf("%d are reserved where %d were asked for, not %d", got, asked, want)
		}
	}
	if got := reserve(l, keyed(2), 1000); got != 1000 {
		t.Errorf("%d with other slots", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Keep(ctx, func(err error) { t.Error(err) })
	again, err := OpenLearnt(path)
	if err != nil || reserve(again, keyed(1), 1500) != 2040 {
		t.Errorf("after a restart %d, %v", reserve(again, keyed(1), 1000), err)
	}
	if reserve(nil, keyed(1), 7) != 7 || (*Learnt)(nil).Tell(t0) != nil {
		t.Error("a nil one")
	}
	(*Learnt)(nil).Note(keyed(1), "a", 7, t0)
}

func TestLearntIsBounded(t *testing.T) {
	l, err := OpenLearnt(filepath.Join(t.TempDir(), "learnt.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxLearnt + 10 {
		l.Note(Key{Model: fmt.Sprint(i)}, "a", 100, t0.Add(time.Duration(i)*time.Second))
	}
	if n := len(l.mu.entries); n != maxLearnt || l.Of(Key{Model: "9"}, t0).Bytes != 0 || l.Of(Key{Model: "10"}, t0).Bytes != 102 {
		t.Errorf("%d entries, and not the newest", n)
	}
	l.Note(Key{Flags: strings.Repeat("x", maxFlags+1)}, "a", 100, t0.Add(time.Hour))
	if len(l.mu.entries) != maxLearnt {
		t.Error("flags without end are kept")
	}
}

func TestDamagedLearntIsForgotten(t *testing.T) {
	for _, text := range []string{"", "{}", `[{"model":"a","bytes":-1}]`, `[{"model":"a","bytes":0}]`, `[{"bytes":1152921504606846976}]`, "[" + strings.Repeat(" ", maxLearntFile)} {
		path := filepath.Join(t.TempDir(), "learnt.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := OpenLearnt(path)
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%.40q: %v", text, err)
		}
		l.Note(keyed(1), "a", 10, t0)
		if err := l.save(); err != nil {
			t.Error(err)
		}
		if l, err := OpenLearnt(path); err != nil || len(l.mu.entries) != 1 {
			t.Errorf("it is not replaced: %v", err)
		}
	}
}

func FuzzLearnt(f *testing.F) {
	f.Add([]byte(`[{"model":"ab","engine":"embedded","flags":"context=0","device":"GPU","bytes":100,"at":5}]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := parseLearnt(raw)
		if err != nil {
			return
		}
		for k, e := range entries {
			if f := figure(e.Loads, t0); len(e.Loads) == 0 || f.Bytes > 2*lastUpTo || len(k.Flags) > maxFlags || len(entries) > maxLearnt {
				t.Fatalf("%+v %+v", k, e)
			}
		}
	})
}

// What is reserved follows the last loads: less than an estimate once enough agree,
// and one that took much more does not stay.
func TestFiguresFollowTheLastLoads(t *testing.T) {
	lived := func(bytes ...uint64) (out []load) {
		for _, b := range bytes {
			out = append(out, load{Bytes: b, From: t0.Unix() - 3600, To: t0.Unix()})
		}
		return out
	}
	short := func(l load) load { l.From = l.To - 10; return l }
	for name, c := range map[string]struct {
		loads []load
		want  Figure
	}{
		"nothing":                      {nil, Figure{}},
		"two":                          {lived(100, 200), Figure{204, 2, false}},
		"three that agree":             {lived(100, 110, 120), Figure{132, 3, true}},
		"three that do not":            {lived(100, 110, 200), Figure{204, 3, false}},
		"three that have hardly lived": {[]load{short(lived(100)[0]), short(lived(100)[0]), short(lived(100)[0])}, Figure{102, 3, false}},
		"one more that is new":         {append(lived(100, 110, 120), short(lived(900)[0])), Figure{132, 4, true}},
		"an outlier among many":        {lived(100, 100, 100, 100, 900), Figure{110, 5, true}},
		"old ones":                     {[]load{{Bytes: 900, From: 1, To: 2}, lived(100)[0]}, Figure{102, 1, false}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := figure(c.loads, t0); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReservationsByWhoSaysSo(t *testing.T) {
	const stated, estimated, learnt = wire.MemorySource_MEMORY_SOURCE_STATED, wire.MemorySource_MEMORY_SOURCE_ESTIMATED, wire.MemorySource_MEMORY_SOURCE_LEARNT
	agreed, lone, wild := Figure{800, 3, true}, Figure{800, 1, false}, Figure{9000, 2, false}
	for _, c := range []struct {
		f     Figure
		bytes uint64
		from  wire.MemorySource
		want  uint64
	}{
		{agreed, 1000, estimated, 800}, {agreed, 2000, estimated, 1000}, {agreed, 500, estimated, 800}, {lone, 1000, estimated, 1000}, {lone, 500, estimated, 800},
		{agreed, 1000, stated, 1000}, {agreed, 500, stated, 500}, {agreed, 1000, learnt, 1000}, {agreed, 500, learnt, 800}, {agreed, 1000, 0, 1000}, {agreed, 0, estimated, 0},
		{Figure{}, 1000, estimated, 1000},
		{wild, 1000, estimated, 2000}, {wild, 1000, learnt, 1000}, {wild, 1000, 0, 2000}, {wild, 1000, stated, 1000}, {wild, 1 << 63, estimated, 1 << 63},
		{Figure{9000, 3, true}, 1000, estimated, 9000},
	} {
		if got := c.f.Reserve(c.bytes, c.from); got != c.want {
			t.Errorf("%+v: %d for %d of %v, want %d", c.f, got, c.bytes, c.from, c.want)
		}
	}
}

func TestALoadIsOneFigure(t *testing.T) {
	l, err := OpenLearnt(filepath.Join(t.TempDir(), "learnt.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		l.Note(keyed(1), "one", uint64(100<<20+i), t0.Add(time.Duration(i)*time.Second))
	}
	for i := range 3 * keptLoads {
		l.Note(keyed(2), fmt.Sprint(i), 100<<20, t0)
	}
	told := l.Tell(t0)
	if len(told) != 2 || told[0].GetLoads() != 1 || told[1].GetLoads() != keptLoads || told[0].GetBytes() != 103<<20 || told[0].GetAgreed() {
		t.Errorf("%v", told)
	}
}

// TestSteadyKeepsTheLeast of one load, whichever process of the node tells of it.
func TestSteadyKeepsTheLeast(t *testing.T) {
	l, err := OpenLearnt(filepath.Join(t.TempDir(), "learnt.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i, bytes := range []uint64{1500, 1000, 9000, 8000} {
		l.Steady(keyed(1), "one", bytes, t0.Add(time.Duration(i)*time.Minute))
	}
	if f := l.Of(keyed(1), t0.Add(time.Hour)); f != (Figure{1020, 1, false}) {
		t.Errorf("%+v", f)
	}
	l.Steady(keyed(1), "one", 0, t0)
	if x := l.mu.entries[keyed(1)].Loads[0]; x.Bytes != 1000 || x.To != t0.Add(3*time.Minute).Unix() {
		t.Errorf("%+v", x)
	}
}

func TestLearntOfEarlierBuilds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "learnt.json")
	if err := os.WriteFile(path, []byte(`[{"model":"m","engine":"e","flags":"f","device":"d","bytes":1000,"at":1750000000}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLearnt(path)
	if err != nil {
		t.Fatal(err)
	}
	if f := l.Of(Key{"m", "e", "f", "d"}, time.Unix(1750000000, 0)); f != (Figure{1020, 1, false}) {
		t.Errorf("%+v", f)
	}
}
