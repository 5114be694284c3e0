package raftlog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage/raftlog"
)

func TestWalk(t *testing.T) {
	db := database(t, vfs.NewMem())
	s := raftlog.New(db)
	for index := uint64(5); index <= 12; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Term: 2, Data: fmt.Append(nil, index)}); err != nil {
			t.Fatal(err)
		}
	}
	moment := db.Pebble().NewSnapshot()
	defer moment.Close()
	if err := s.DeleteRange(5, 8); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(11, 11); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	for _, c := range []struct {
		what     string
		then     bool // as of the moment
		from, to uint64
		want     []uint64
		err      error
	}{
		{"all of the moment", true, 5, 12, []uint64{5, 6, 7, 8, 9, 10, 11, 12}, nil},
		{"a part", true, 7, 8, []uint64{7, 8}, nil},
		{"nothing", true, 8, 7, nil, nil},
		{"before the first", true, 4, 6, nil, raftlog.ErrGap},
		{"beyond the last", true, 11, ^uint64(0), []uint64{11, 12}, raftlog.ErrGap},
		{"what is left", false, 9, 10, []uint64{9, 10}, nil},
		{"what was deleted", false, 5, 10, nil, raftlog.ErrGap},
		{"over a gap", false, 9, 12, []uint64{9, 10}, raftlog.ErrGap},
		{"to where it is stopped", true, 5, 12, []uint64{5, 6}, stop},
	} {
		var got []uint64
		each := func(l *raft.Log) error {
			if string(l.Data) != fmt.Sprint(l.Index) || l.Term != 2 {
				t.Errorf("%s: entry %d is %+v", c.what, l.Index, l)
			}
			if got = append(got, l.Index); errors.Is(c.err, stop) && len(got) == 2 {
				return stop
			}
			return nil
		}
		var err error
		if c.then {
			err = raftlog.Walk(moment, c.from, c.to, each)
		} else {
			err = raftlog.Walk(db.Pebble(), c.from, c.to, each)
		}
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v (%v), want %v (%v)", c.what, got, err, c.want, c.err)
		}
	}
}
