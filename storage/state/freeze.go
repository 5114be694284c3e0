package state

import (
	"bufio"
	"crypto/sha256"
	"io"
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
