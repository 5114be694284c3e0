package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Frozen is the whole state as it was at one moment, while entries go on being
// applied. It holds back what the database would otherwise clear away: Close it soon.
type Frozen struct{ frozen }

// Freeze returns the state as it is now.
func (s *Store) Freeze() (_ *Frozen, err error) {
	defer recovered(&err)
	return &Frozen{s.freeze()}, nil
}

// Index is the index that the state was at.
func (f *Frozen) Index() (_ uint64, err error) {
	defer recovered(&err)
	return f.position().index, nil
}

// Hash is Store.Hash of that moment.
func (f *Frozen) Hash() (_ []byte, err error) {
	defer recovered(&err)
	return f.hash(), nil
}

// Write is Store.WriteSnapshot of that moment.
func (f *Frozen) Write(w io.Writer) error { return f.write(w) }

// Database is the whole database as it was at that moment, until Close: the log
// in it has every entry that Raft had given to the state.
func (f *Frozen) Database() pebble.Reader { return f.snapshot }

// Close lets go of the moment.
func (f *Frozen) Close() error {
	return f.snapshot.Close()
}

// Position is the applied index, and the highest term among what was applied. A
// server that writes entries of its own after it must use a higher one.
func (s *Store) Position() (index, term uint64) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.writing.applied.index, s.writing.applied.term
}

// CheckSnapshot reads a snapshot to its end, as ReadSnapshot does, and keeps
// nothing of it. It returns the index that the snapshot is of.
func CheckSnapshot(r io.Reader) (index uint64, err error) {
	in := &incoming{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	at, err := in.header()
	if err != nil {
		return 0, err
	}
	return at.index, in.records(func([]byte, []byte, [][]byte) {})
}

// SnapshotIndex tells the index of the snapshot that r gives next, and leaves it
// there to be read. The buffer must hold 64 bytes.
func SnapshotIndex(r *bufio.Reader) (uint64, error) {
	head, err := r.Peek(len(magic) + positionBytes)
	if err != nil {
		return 0, damaged("its head", err)
	}
	at, err := (&incoming{r: bufio.NewReader(bytes.NewReader(head)), sum: sha256.New()}).header()
	return at.index, err
}

// CheckEntry tells whether ApplyEntry can read the entry's command, as far as that
// shows without the state. The error wraps ErrLevel.
func CheckEntry(e *wire.Entry) error {
	if len(e.GetCommand()) == 0 {
		return nil
	}
	_, err := decodeCommand(e.GetCommand())
	return err
}
