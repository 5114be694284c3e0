package state

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// A snapshot is a stream of
//
//	magic     11 bytes
//	position  index, term and level, 8 bytes each
//	records   in the order of their keys, each
//	            size of the key    uvarint, 2 or more
//	            key                table and name
//	            size of the value  uvarint
//	            value
//	end       one zero byte
//	digest    SHA-256 of all that came before, 32 bytes
//
// Secondary indexes are not in it: they are made again from the records.
const magic = "LOTASTATE1\n"

// Bounds on one record, so that no stream can ask for much memory at once.
const (
	maxKey   = 1 << 10
	maxValue = 64 << 20
)

// frozen is the state as it was at one moment. Release it.
type frozen struct {
	view
	snapshot *pebble.Snapshot
}

func (s *Store) freeze() frozen {
	s.mu.RLock()
	defer s.mu.RUnlock()
	snapshot := s.db.Pebble().NewSnapshot()
	return frozen{view{snapshot, generationPrefix(s.mu.generation)}, snapshot}
}

func (f frozen) release() { must(f.snapshot.Close()) }

// WriteSnapshot writes the whole state as it is at one index, which it returns.
// Entries go on being applied meanwhile.
func (s *Store) WriteSnapshot(w io.Writer) (index uint64, err error) {
	defer recovered(&err)
	f := s.freeze()
	defer f.release()
	return f.position().index, f.write(w)
}

func (f frozen) write(w io.Writer) (err error) {
	defer recovered(&err)
	out := &digester{w: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	out.put([]byte(magic), f.position().encode())
	f.walk(nil, []byte{positionMark + 1}, func(key, value []byte) bool {
		if key[0] >= firstIndex {
			return false
		}
		out.sized(key)
		out.sized(value)
		return out.err == nil
	})
	out.put([]byte{0})
	out.put(out.sum.Sum(nil))
	return errors.Join(out.err, out.w.Flush())
}

// A digester writes and hashes what it is given, until the first error.
type digester struct {
	w   *bufio.Writer
	sum hash.Hash
	err error
}

func (d *digester) put(parts ...[]byte) {
	for _, b := range parts {
		if d.err == nil {
			_, d.err = d.w.Write(b)
			d.sum.Write(b)
		}
	}
}

func (d *digester) sized(b []byte) {
	d.put(binary.AppendUvarint(nil, uint64(len(b))), b)
}

// Hash returns the SHA-256 of every record and remembered answer (not of indexes),
// and the index that it is of. Nodes that have applied the same entries have the
// same, as long as their builds encode records alike.
func (s *Store) Hash() ([]byte, uint64) {
	f := s.freeze()
	defer f.release()
	return f.hash(), f.position().index
}

func (f frozen) hash() []byte {
	out := &digester{w: bufio.NewWriter(io.Discard), sum: sha256.New()}
	f.walk(nil, []byte{positionMark + 1}, func(key, value []byte) bool {
		if key[0] >= firstIndex { // builds may keep different ones of the same records
			return false
		}
		out.sized(key)
		out.sized(value)
		return true
	})
	return out.sum.Sum(nil)
}

// Snapshot implements raft.FSM.
func (s *Store) Snapshot() (_ raft.FSMSnapshot, err error) {
	defer recovered(&err)
	return &raftSnapshot{s, s.freeze()}, nil
}

type raftSnapshot struct {
	store *Store
	frozen
}

// Persist writes the snapshot into sink. Before the snapshot is closed the state
// itself is brought to disk up to there: a server that starts trusts that the
// state is at least as new as its newest snapshot.
func (r *raftSnapshot) Persist(sink raft.SnapshotSink) error {
	err := r.write(sink)
	if err == nil {
		err = r.store.db.Sync()
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (r *raftSnapshot) Release() { r.release() }
