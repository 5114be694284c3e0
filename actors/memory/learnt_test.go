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
	if got := l.Reserve(keyed(1), 1000); got != 1000 {
		t.Errorf("%d before anything was measured", got)
	}
	l.Note(keyed(1), 2000, t0)
	l.Note(keyed(1), 1500, t0.Add(time.Hour)) // the most counts
	for asked, want := range map[uint64]uint64{1000: 2040, 5000: 5000, 0: 0} {
		if got := l.Reserve(keyed(1), asked); got != want {
			t.Errorf("%d are reserved where %d were asked for, not %d", got, asked, want)
		}
	}
	if got := l.Reserve(keyed(2), 1000); got != 1000 {
		t.Errorf("%d with other slots", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Keep(ctx, func(err error) { t.Error(err) })
	again, err := OpenLearnt(path)
	if err != nil || again.Reserve(keyed(1), 1000) != 2040 {
		t.Errorf("after a restart %d, %v", again.Reserve(keyed(1), 1000), err)
	}
	if (*Learnt)(nil).Reserve(keyed(1), 7) != 7 {
		t.Error("a nil one")
	}
	(*Learnt)(nil).Note(keyed(1), 7, t0)
}

func TestLearntIsBounded(t *testing.T) {
	l, err := OpenLearnt(filepath.Join(t.TempDir(), "learnt.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxLearnt + 10 {
		l.Note(Key{Model: fmt.Sprint(i)}, 100, t0.Add(time.Duration(i)*time.Second))
	}
	if n := len(l.mu.entries); n != maxLearnt || l.Reserve(Key{Model: "9"}, 1) != 1 || l.Reserve(Key{Model: "10"}, 1) != 102 {
		t.Errorf("%d entries, and not the newest", n)
	}
	l.Note(Key{Flags: strings.Repeat("x", maxFlags+1)}, 100, t0.Add(time.Hour))
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
		l.Note(keyed(1), 10, t0)
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
			if e.Bytes == 0 || e.Bytes > lastUpTo || len(k.Flags) > maxFlags || len(entries) > maxLearnt {
				t.Fatalf("%+v %+v", k, e)
			}
		}
	})
}
