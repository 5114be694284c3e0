package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/wire"
)

// TestEveryIndexOfAnyHistory has a server write, be led anew, take snapshots and
// drop entries in any order. Its backup must reach as far back as a snapshot and
// the log together do, and restore to every index from there.
func TestEveryIndexOfAnyHistory(t *testing.T) {
	key, dir := pair(t), filepath.Join(t.TempDir(), "snapshots")
	rapid.Check(t, func(rt *rapid.T) {
		defer os.RemoveAll(dir)
		s := newServer(t, dir)
		defer s.close()
		s.configure()
		var bases []uint64 // indexes of the snapshots
		for i, step := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 30).Draw(rt, "steps") {
			switch step {
			case 0:
				s.lead()
			case 1:
				s.configure()
			case 2:
				if len(bases) > 0 && bases[len(bases)-1] == s.last {
					continue // Raft takes none of what it has one of
				}
				s.snapshot(rapid.Uint64Range(0, 12).Draw(rt, "trailing"))
				bases = append(bases, s.last)
			default:
				s.setting(i)
			}
		}
		raw, m := s.backup(key)
		index := s.Index()
		first, err := s.logs.FirstIndex()
		try(t, err)
		want := index
		if first == 1 {
			want = 0
		}
		if len(bases) > 2 { // so many are retained
			bases = bases[len(bases)-2:]
		}
		for _, base := range bases {
			if base <= index && (first > 0 && first <= base+1 || base == index) {
				want = min(want, base)
			}
		}
		if m.Index != index || m.From != want {
			rt.Fatalf("the backup reaches over %s; the log begins at %d, snapshots are at %v, the state at %d", m.Range(), first, bases, index)
		}
		if got, err := Verify(bytes.NewReader(raw), key); err != nil || got != m {
			rt.Fatalf("verified: %+v (%v), want %+v", got, err, m)
		}
		s.checkEach(raw, m, key)
	})
}

func TestAcrossASnapshot(t *testing.T) {
	s, key := newServer(t, t.TempDir()), pair(t)
	defer s.close()
	for i := range 30 {
		s.setting(i)
	}
	s.snapshot(5)
	for i := range 10 {
		s.setting(i)
	}
	s.lead()
	s.snapshot(20)
	for i := range 5 {
		s.setting(i)
	}
	raw, m := s.backup(key)
	if m.From != 30 || m.Index != 46 || !m.FromTime.Equal(s.at(31)) || !m.ToTime.Equal(s.at(56)) {
		t.Fatalf("the backup reaches over %s", m.Range())
	}
	s.checkEach(raw, m, key)
	for _, c := range []struct {
		at   time.Time
		want uint64 // 0: it does not reach there
	}{
		{s.at(30), 0}, {s.at(31), 31}, {s.at(31).Add(999 * time.Millisecond), 31}, {s.at(40), 40}, {s.at(41), 40}, {s.at(42), 42}, {s.at(46), 46}, {s.at(56), 46}, {s.at(57), 0},
	} {
		_, got, err := Find(bytes.NewReader(raw), Point{Time: c.at}, key)
		if got != c.want || (err == nil) != (c.want != 0) || err != nil && !errors.Is(err, ErrPoint) {
			t.Errorf("%v is index %d (%v), want %d", c.at, got, err, c.want)
		}
	}
	for _, index := range []uint64{29, 47} {
		if _, _, err := Find(bytes.NewReader(raw), Point{Index: index}, key); !errors.Is(err, ErrPoint) {
			t.Errorf("index %d: %v", index, err)
		}
	}
}

// TestTheLogGoesOnMeanwhile takes away what a backup needs after the state was frozen.
func TestTheLogGoesOnMeanwhile(t *testing.T) {
	s, key := newServer(t, t.TempDir()), pair(t)
	defer s.close()
	for i := range 10 {
		s.setting(i)
	}
	s.snapshot(100)
	s.setting(10)
	f, err := s.Freeze()
	try(t, err)
	defer f.Close()
	s.setting(11)
	s.snapshot(0) // the log that is left begins above the frozen state
	h, err := FindHistory(f, s.taken, s.last, slog.New(slog.DiscardHandler))
	try(t, err)
	if h == nil || h.From() != 0 {
		t.Fatalf("found %+v", h)
	}
	raw, m := s.write(f, h, key)
	try(t, h.Close())
	s.checkEach(raw, m, key)

	// Without the log's beginning, a snapshot must be there that is old enough.
	old, err := s.Freeze()
	try(t, err)
	defer old.Close()
	for range 2 {
		s.setting(12)
		s.snapshot(0)
	}
	if h, err := FindHistory(old, s.taken, s.last, slog.New(slog.DiscardHandler)); err != nil || h != nil {
		t.Errorf("found %+v (%v) where only newer states are", h, err)
	}
	raw, m = s.write(old, nil, key)
	if m.From != 12 || m.Index != 12 {
		t.Errorf("it reaches over %s", m.Range())
	}
	s.checkEach(raw, m, key)
	if h, err := FindHistory(f, s.taken, 10, slog.New(slog.DiscardHandler)); err != nil || h != nil {
		t.Errorf("found %+v (%v) of entries that nobody knows to be agreed on", h, err)
	}
}

// TestEntriesThatNobodyAgreedOn has a leader's snapshot come to a server that has
// entries of its own below it, as one does that led while it was cut off.
func TestEntriesThatNobodyAgreedOn(t *testing.T) {
	for _, c := range []struct {
		after int
		lost  bool // the snapshot was found damaged later
		from  uint64
	}{{0, false, 15}, {1, false, 15}, {5, false, 15}, {5, true, 20}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			s, other, key := newServer(t, t.TempDir()), newServer(t, t.TempDir()), pair(t)
			defer s.close()
			defer other.close()
			for i := range 10 {
				s.setting(i)
				other.setting(i)
			}
			s.snapshot(100)
			for i := range 5 { // nobody agrees on these: they are logged alone
				c := &wire.Command{Level: 1, AtMs: 1, RequestId: fmt.Sprint("lost", i), Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: "lost", Value: "x"}}}
				raw, err := proto.Marshal(c)
				try(t, err)
				try(t, s.logs.StoreLog(&raft.Log{Index: uint64(11 + i), Term: 1, Type: raft.LogCommand, Data: raw}))
			}
			other.lead()
			for i := range 4 {
				other.setting(100 + i)
			}
			other.snapshot(100)
			id := receive(t, s, other)
			for i := range c.after {
				s.setting(i)
			}
			if c.lost {
				s.lose(id)
			}
			raw, m := s.backup(key)
			if m.From != c.from || m.Index != 15+uint64(c.after) {
				t.Errorf("the backup reaches over %s", m.Range())
			}
			s.checkEach(raw, m, key)
		})
	}
}

// receive has a server take over another's newest snapshot, as Raft does it.
func receive(t *testing.T, s, other *server) (id string) {
	t.Helper()
	all, err := other.taken.List()
	try(t, err)
	meta, from, err := other.taken.Open(all[0].ID)
	try(t, err)
	sink, err := s.taken.Create(1, meta.Index, meta.Term, meta.Configuration, 0, nil)
	try(t, err)
	_, err = io.Copy(sink, from)
	try(t, errors.Join(err, from.Close(), sink.Close()))
	_, from, err = s.taken.Open(sink.ID())
	try(t, err)
	try(t, s.Restore(from))
	s.last, s.term = other.last, other.term
	s.record()
	return sink.ID()
}

func TestMoreThanThePoint(t *testing.T) {
	s, key := newServer(t, t.TempDir()), pair(t)
	defer s.close()
	s.key("one")
	s.setting(1)
	s.lead()
	s.setting(2)
	raw, m := s.backup(key)
	for index, want := range map[uint64]int{1: 2, 2: 1, 3: 1, m.Index: 0} {
		if _, more := restored(t, raw, key, index); more != want {
			t.Errorf("beyond index %d there are %d commands, want %d", index, more, want)
		}
	}
}
