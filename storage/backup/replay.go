package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/state"
)

// Verify reads a backup to its end, and every record and entry in it. It does not
// say who has made it; see the package's comment.
func Verify(file io.Reader, keys ...Identity) (Manifest, error) {
	m, _, err := Find(file, Point{}, keys...)
	return m, err
}

// Find verifies a backup, and returns the index that the point is at. Where the
// backup does not reach to the point, the error wraps ErrPoint.
//
// A time stands for the last entry that was proposed then or before. Clocks of
// proposers differ, so an entry before it may bear a later time.
func Find(file io.Reader, p Point, keys ...Identity) (m Manifest, index uint64, err error) {
	r, err := NewReader(file, keys...)
	if err != nil {
		return m, 0, err
	}
	defer r.Close()
	m = r.Manifest
	if !m.Holds(p) {
		return m, 0, fmt.Errorf("%w: the backup does not reach to %v, but over %s", ErrPoint, p, m.Range())
	}
	index, err = r.find(p)
	if err != nil && !errors.Is(err, state.ErrLevel) {
		err = fault(r.file, "the state in it", err)
	}
	if err == nil && index == 0 && m.Index != 0 {
		err = fmt.Errorf("%w: the backup does not reach to %v, but over %s", ErrPoint, p, m.Range())
	}
	return m, index, err
}

func (r *Reader) find(p Point) (uint64, error) {
	from := bufio.NewReaderSize(r, 64<<10)
	if there, err := r.begins(from); err != nil {
		return 0, err
	} else if there {
		at, err := state.CheckSnapshot(from)
		if err == nil {
			err = r.fits(at)
		}
		if err != nil {
			return 0, err
		}
	}
	index := r.Manifest.From
	for {
		e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return index, nil
		case err != nil:
			return 0, err
		}
		if err := state.CheckEntry(e); err != nil {
			return 0, err
		}
		if r.wanted(e, p) {
			index = e.GetIndex()
		}
	}
}

// wanted tells whether the entry is one that leads to the point.
func (r *Reader) wanted(e *wire.Entry, p Point) bool {
	switch {
	case p.Index != 0:
		return e.GetIndex() <= p.Index
	case !p.Time.IsZero():
		at, ok := timeOf(e.GetCommand())
		return ok && !at.After(p.Time)
	}
	return true
}

// begins tells whether there is an older state to be read from the beginning.
func (r *Reader) begins(from *bufio.Reader) (bool, error) {
	_, err := from.Peek(1)
	if !errors.Is(err, io.EOF) {
		return err == nil, err
	}
	if r.Manifest.From != 0 {
		return false, fmt.Errorf("the state at index %d is missing", r.Manifest.From)
	}
	return false, nil
}

// fits holds the index of the older state against the manifest. Raft's own entries,
// which change nothing, may be between.
func (r *Reader) fits(at uint64) error {
	if m := r.Manifest; at > m.From || m.From == m.Index && at != m.Index {
		return fmt.Errorf("the state is of index %d, and the manifest says %d", at, m.From)
	}
	return nil
}

// Into brings s, which is empty, to index and reads the rest of the backup, which
// has so many commands more. Where it returns an error, s is of no use.
func (r *Reader) Into(s *state.Store, index uint64) (more int, err error) {
	from := bufio.NewReaderSize(r, 64<<10)
	if there, err := r.begins(from); err != nil {
		return 0, err
	} else if there {
		if err = s.ReadSnapshot(from); err == nil {
			err = r.fits(s.Index())
		}
		if err != nil {
			return 0, err
		}
	}
	for {
		e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return more, r.arrived(s, index)
		case err != nil:
			return 0, err
		case e.GetIndex() <= index:
			if _, err := s.ApplyEntry(e); err != nil {
				return 0, err
			}
		case len(e.GetCommand()) > 0:
			more++
		}
	}
}

// arrived holds the state against the manifest, which knows the end alone.
func (r *Reader) arrived(s *state.Store, index uint64) error {
	m := r.Manifest
	if index != m.Index {
		return nil
	}
	if hash, at := s.Hash(); !m.Matches(hash, at) {
		return fmt.Errorf("the restored state has the hash %x at index %d, and the backup was made of %s at %d: this build writes records in another way than %s; restore with that build",
			hash, at, m.StateHash, m.Index, m.Build)
	}
	return nil
}

// Rehearse restores a backup to its end in dir, which is missing or empty, fails
// where the state is not the one that the backup was made of, and gives it to then,
// which may be nil. What is left in dir is to be removed.
func Rehearse(dir string, file io.Reader, then func(end *state.Store) error, keys ...Identity) (m Manifest, err error) {
	r, err := NewReader(file, keys...)
	if err != nil {
		return m, err
	}
	defer r.Close()
	db, err := storage.Open(dir, storage.Options{})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := state.Open(db)
	if err != nil {
		return m, err
	}
	if _, err = r.Into(s, r.Manifest.Index); err == nil && then != nil {
		err = then(s)
	}
	return r.Manifest, err
}
