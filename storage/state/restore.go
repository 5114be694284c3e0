package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/storage"
)

// ErrSnapshot is wrapped by the error of a snapshot that is damaged or cut short.
var ErrSnapshot = errors.New("the snapshot is damaged")

// Restore implements raft.FSM: see ReadSnapshot.
func (s *Store) Restore(r io.ReadCloser) error {
	defer r.Close()
	return s.ReadSnapshot(r)
}

// ReadSnapshot takes over the state that r gives, which must end with the
// snapshot. It is durable, and subscribers have been told to read everything
// anew, when ReadSnapshot returns. A snapshot that is not newer than the state is
// read to its end, verified and ignored.
//
// Where it returns an error the state is as before: what came of a bad snapshot
// was written aside. The error wraps ErrSnapshot, ErrLevel or r's own.
func (s *Store) ReadSnapshot(r io.Reader) (err error) {
	s.restoring.Lock()
	defer s.restoring.Unlock()
	defer recovered(&err)
	in := &incoming{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	at, err := in.header()
	if err != nil {
		return err
	}
	if at.index <= s.Index() {
		return in.records(func([]byte, []byte, [][]byte) {})
	}
	next := s.newAside()
	if err := in.records(next.add); err != nil {
		must(next.batch.Close())
		next.remove()
		return err
	}
	next.flush()
	s.takeOver(next, at)
	return nil
}

// takeOver puts a generation into force, unless entries have overtaken it.
func (s *Store) takeOver(next *aside, at position) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if at.index <= s.writing.applied.index {
		next.remove()
		return
	}
	db := s.db.Pebble()
	batch := db.NewBatch()
	must(batch.Set(next.key([]byte{positionMark}), at.encode(), nil))
	must(batch.Set(pointerKey, be(next.generation), nil))
	must(s.db.CommitPatiently(batch)) // and with it every batch before

	s.writing.applied, s.writing.requests, s.writing.audit, s.writing.floors = at, next.requests, next.auditEnds(), floors{}
	s.window.needs.Store(at.level)
	s.mu.Lock()
	old := s.mu.generation
	s.mu.generation = next.generation
	s.mu.Unlock()
	clearRange(s.db, generationPrefix(old), generationPrefix(old+1)) // nobody begins to read there any more
	s.watches.tell(Change{Index: at.index, Reset: true})
	s.window.reset(at.index)
}

// An aside is a generation that is being written and not in force.
type aside struct {
	view
	disk       *storage.DB
	db         *pebble.DB // the same
	batch      *pebble.Batch
	generation uint64
	requests   int
}

const asideBatch = 512 << 10 // bytes written at a time

// newAside begins the generation after the one in force. It needs restoring.
func (s *Store) newAside() *aside {
	s.mu.RLock()
	next := s.mu.generation + 1
	s.mu.RUnlock()
	db := s.db.Pebble()
	a := &aside{view: view{db, generationPrefix(next)}, disk: s.db, db: db, batch: db.NewBatch(), generation: next}
	a.remove() // what an earlier attempt has left
	return a
}

func (a *aside) add(key, value []byte, indexes [][]byte) {
	must(a.batch.Set(a.key(key), value, nil))
	for _, k := range indexes {
		must(a.batch.Set(a.key(k), nil, nil))
	}
	if key[0] == requestsTable {
		a.requests++
	}
	if a.batch.Len() >= asideBatch {
		a.flush()
		a.batch = a.db.NewBatch()
	}
}

func (a *aside) flush() {
	must(a.disk.Apply(a.batch))
	must(a.batch.Close())
}

func (a *aside) remove() { clearRange(a.disk, a.prefix, generationPrefix(a.generation+1)) }

// clearRange deletes the keys from first to before end, without waiting for the disk.
func clearRange(disk *storage.DB, first, end []byte) {
	batch := disk.Pebble().NewBatch()
	must(batch.DeleteRange(first, end, nil))
	must(disk.Apply(batch))
	must(batch.Close())
}

// incoming reads a snapshot and hashes what it has read.
type incoming struct {
	r   *bufio.Reader
	sum hash.Hash
}

// Read implements io.Reader for the parts that the digest covers.
func (in *incoming) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.sum.Write(p[:n])
	return n, err
}

// ReadByte implements io.ByteReader.
func (in *incoming) ReadByte() (byte, error) {
	b, err := in.r.ReadByte()
	if err == nil {
		in.sum.Write([]byte{b})
	}
	return b, err
}

func damaged(what string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %s: %w", ErrSnapshot, what, err)
}

func (in *incoming) header() (position, error) {
	raw := make([]byte, len(magic)+positionBytes)
	if _, err := io.ReadFull(in, raw); err != nil {
		return position{}, damaged("its head", err)
	}
	if string(raw[:len(magic)]) != magic {
		return position{}, fmt.Errorf("%w: it does not begin as one of this format", ErrSnapshot)
	}
	at, err := decodePosition(raw[len(magic):])
	if err == nil && at.level > Level {
		err = fmt.Errorf("%w: the snapshot needs feature level %d, and this build knows levels up to %d: upgrade this node", ErrLevel, at.level, Level)
	}
	return at, err
}

// records gives each record to add, having verified it by itself, and verifies
// the whole at the end. The slices are add's for the call only.
func (in *incoming) records(add func(key, value []byte, indexes [][]byte)) error {
	var key, last, value bytes.Buffer
	for {
		n, err := in.size(&key, maxKey)
		if err != nil {
			return damaged("the key of a record", err)
		}
		if n == 0 {
			return in.end()
		}
		if _, err := in.size(&value, maxValue); err != nil {
			return damaged("the value of a record", err)
		}
		if bytes.Compare(key.Bytes(), last.Bytes()) <= 0 {
			return fmt.Errorf("%w: its records are out of order", ErrSnapshot)
		}
		indexes, err := verify(key.Bytes(), value.Bytes())
		if err != nil {
			return damaged(fmt.Sprintf("record %q", key.Bytes()), err)
		}
		add(key.Bytes(), value.Bytes(), indexes)
		key, last = last, key
	}
}

// verify checks one record and returns the keys of its index entries.
func verify(key, value []byte) ([][]byte, error) {
	check, ok := sections[key[0]]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no table %d", key[0])
	case len(key) < 2:
		return nil, errors.New("it has no name")
	}
	return check(key[1:], value)
}

// size reads a size and as many bytes into b. Memory grows with what has come,
// not with what was claimed.
func (in *incoming) size(b *bytes.Buffer, most uint64) (uint64, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return 0, err
	}
	if n > most {
		return 0, fmt.Errorf("it claims %d bytes and may have %d", n, most)
	}
	b.Reset()
	_, err = io.CopyN(b, in, int64(n))
	return n, err
}

// end verifies the digest, and that nothing follows.
func (in *incoming) end() error {
	want, got := in.sum.Sum(nil), make([]byte, sha256.Size)
	if _, err := io.ReadFull(in.r, got); err != nil {
		return damaged("its digest", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its digest is not that of its content", ErrSnapshot)
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		if err != nil {
			return damaged("what follows it", err)
		}
		return fmt.Errorf("%w: it goes on after its end", ErrSnapshot)
	}
	return nil
}
