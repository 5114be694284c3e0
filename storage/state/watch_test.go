package state

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/lotabots/lotabots/cluster/wire"
)

func TestSubscribersAreToldInOrder(t *testing.T) {
	r := newReplica(t)
	var got []Change
	var indexes []uint64
	cancel := r.Subscribe(func(c Change) {
		got = append(got, c)
		indexes = append(indexes, r.Index())
		if len(c.Records) > 0 && c.Records[0].Kind == KindKey {
			if _, ok := r.Key(c.Records[0].ID); !ok {
				t.Error("a change is told before it can be read")
			}
		}
	})
	other := 0
	defer r.Subscribe(func(Change) { other++ })()
	r.ok(t, putKey("k1", "acme", "one"))
	r.do(t, revokeKey("none"))
	r.ok(t, putSetting("a", "b"))
	source := filled(t)
	if err := r.ReadSnapshot(bytes.NewReader(snapshotOf(t, source.Store))); err != nil {
		t.Fatal(err)
	}
	cancel()
	cancel()
	r.ok(t, putSetting("a", "c"))
	want := []Change{
		{Index: 1, Records: []Ref{{KindKey, "k1"}}}, {Index: 2}, {Index: 3, Records: []Ref{{KindSetting, "a"}}}, {Index: source.Index(), Reset: true},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if want := []uint64{0, 1, 2, 3}; !slices.Equal(indexes, want) {
		t.Errorf("the index was %v during the calls, want %v: it must rise when all have been told", indexes, want)
	}
	if other != 5 {
		t.Errorf("the other subscriber was told %d times of 5", other)
	}
}

func TestWindow(t *testing.T) {
	l := usual
	l.entries, l.bytes = 5, 1000
	r := start(t, vfs.NewMem(), l)
	defer func() { r.db.Close() }()
	check := func(from uint64, most int, ok bool, want ...uint64) {
		t.Helper()
		list, got := r.Entries(from, most)
		var indexes []uint64
		for _, e := range list {
			indexes = append(indexes, e.GetIndex())
		}
		if got != ok || !slices.Equal(indexes, want) {
			t.Errorf("entries after %d: %v, %v, want %v, %v", from, indexes, got, want, ok)
		}
	}
	check(0, 0, true)
	check(99, 0, true) // a follower that is ahead gets nothing yet
	for i := range 7 {
		r.ok(t, putSetting("a", fmt.Sprint(i)))
	}
	check(7, 0, true)
	check(2, 0, true, 3, 4, 5, 6, 7)
	check(4, 2, true, 5, 6)
	check(1, 0, false)
	r.ok(t, putSetting("a", string(make([]byte, 600))))
	r.ok(t, putSetting("a", string(make([]byte, 600)))) // both are too much
	check(8, 0, true, 9)
	check(7, 0, false)
	r.ok(t, putSetting("a", string(make([]byte, 2000)))) // the newest is kept, however large
	check(9, 0, true, 10)
	r = r.restart(t)
	check(9, 0, false)
	check(10, 0, true)
}

func TestChangedMissesNothing(t *testing.T) {
	r := newReplica(t)
	const last = 200
	var got []uint64
	var follower sync.WaitGroup
	follower.Go(func() {
		for at := uint64(0); at < last; {
			changed := r.Changed()
			index := r.Index()
			list, ok := r.Entries(at, 3)
			if !ok || (len(list) == 0 && index > at) {
				t.Errorf("at index %d the entries after %d are %d, %v", index, at, len(list), ok)
				return
			}
			for _, e := range list {
				at = e.GetIndex()
				got = append(got, at)
			}
			if len(list) == 0 {
				<-changed
			}
		}
	})
	for i := range last {
		r.ok(t, putSetting("a", fmt.Sprint(i)))
	}
	follower.Wait()
	if len(got) != last || !slices.IsSorted(got) {
		t.Errorf("%d of %d entries came, in order: %v", len(got), last, slices.IsSorted(got))
	}
}

func TestReadsWhileTheStateIsReplaced(t *testing.T) {
	r := newReplica(t)
	fill(t, r)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, ok := r.Key("k1"); !ok || len(r.Nodes()) != 2 {
					t.Error("a record that every state has was missing for a moment")
					return
				}
				r.Hash()
			}
		})
	}
	source := filled(t)
	for i := range 20 {
		source.ok(t, putSetting("a", fmt.Sprint(i)))
		if err := r.ReadSnapshot(bytes.NewReader(snapshotOf(t, source.Store))); err != nil {
			t.Error(err)
			break
		}
		c := putSetting("b", fmt.Sprint(i))
		if _, err := r.ApplyEntry(&wire.Entry{Index: source.do(t, c).GetIndex(), Term: 1, Command: encode(t, c)}); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wait.Wait()
	sameHash(t, "after it", source.Store, r.Store)
}
