package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
)

// ErrGap is wrapped by the error of a walk to which an entry is missing.
var ErrGap = errors.New("an entry is missing from the log")

// Walk gives every entry from the index from to the index to, both included, as r
// has them: the database, or a moment of it from which no later deletion takes
// anything. Where one is missing, the error wraps ErrGap; each's error ends it. The
// entry is each's for the call only.
func Walk(r pebble.Reader, from, to uint64, each func(*raft.Log) error) (err error) {
	if from > to {
		return nil
	}
	upper := storage.RaftLog.End()
	if to+1 != 0 {
		upper = key(to + 1)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: key(from), UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	next := from
	var l raft.Log
	for ok := it.First(); ok; ok = it.Next() {
		index := binary.BigEndian.Uint64(it.Key()[1:])
		if index != next {
			break
		}
		raw, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := decode(raw, &l); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		l.Index = index
		if err := each(&l); err != nil {
			return err
		}
		next++
	}
	if err := it.Error(); err != nil {
		return err
	}
	if next <= to {
		return fmt.Errorf("%w: %d", ErrGap, next)
	}
	return nil
}
