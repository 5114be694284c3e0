package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/storage"
)

// ErrKeyNotFound is what Get answers for a name that was never set. Raft knows
// it by its text, which must be exactly this.
var ErrKeyNotFound = errors.New("not found")

// Set keeps a value under a name, and returns once it is on disk. It waits for a
// disk that does not answer, and for ever on one that has failed: Raft ends the
// process where its term cannot be kept. Meanwhile StoreLogs refuses.
func (s *Store) Set(name, value []byte) error {
	batch := s.db.NewBatch()
	if err := batch.Set(storage.Stable.Key(name), value, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	return s.disk.CommitPatiently(batch)
}

// Get returns the value under name, or ErrKeyNotFound.
func (s *Store) Get(name []byte) ([]byte, error) {
	raw, closer, err := s.db.Get(storage.Stable.Key(name))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, ErrKeyNotFound
	}
	if err != nil {
		return nil, err
	}
	value := append([]byte{}, raw...)
	return value, closer.Close()
}

// SetUint64 keeps a number under a name, as Set does.
func (s *Store) SetUint64(name []byte, value uint64) error {
	return s.Set(name, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 returns the number under name, or ErrKeyNotFound.
func (s *Store) GetUint64(name []byte) (uint64, error) {
	raw, err := s.Get(name)
	if err != nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, fmt.Errorf("%q has %d bytes and is no number", name, len(raw))
	}
	return binary.BigEndian.Uint64(raw), nil
}
