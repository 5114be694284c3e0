package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"
)

// A fault is a failure of the database. Readers have no way to answer it but
// to panic: an absent record would be a wrong answer.
type fault struct{ err error }

func (f *fault) Error() string { return "the state cannot be read or written: " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// must panics with a fault if err is one.
func must(err error) {
	if err != nil {
		panic(&fault{err})
	}
}

// A view reads one generation.
type view struct {
	from   pebble.Reader
	prefix []byte
}

func (v view) key(within []byte) []byte {
	return append(append(make([]byte, 0, len(v.prefix)+len(within)), v.prefix...), within...)
}

// value returns a copy of what is under a key of the generation.
func (v view) value(within []byte) ([]byte, bool) {
	raw, closer, err := v.from.Get(v.key(within))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false
	}
	must(err)
	out := append([]byte{}, raw...)
	must(closer.Close())
	return out, true
}

// walk calls each with every key that begins with prefix and is not below
// start, both within the generation, in order, until it returns false. The
// slices are each's for the call only.
func (v view) walk(prefix, start []byte, each func(key, value []byte) bool) {
	low, high := v.key(prefix), after(v.key(prefix))
	if from := v.key(start); len(start) > 0 && string(from) > string(low) {
		low = from
	}
	it, err := v.from.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	must(err)
	defer func() { must(it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		must(err)
		if !each(it.Key()[len(v.prefix):], value) {
			break
		}
	}
	must(it.Error())
}

// A position is how far the log has been applied, and by what it takes to apply it.
type position struct {
	index uint64
	term  uint64 // of the last command applied; configurations come without one
	level uint64 // the highest of the commands applied
}

const positionBytes = 3 * 8

func (p position) encode() []byte { return slices.Concat(be(p.index), be(p.term), be(p.level)) }

func decodePosition(raw []byte) (position, error) {
	if len(raw) != positionBytes {
		return position{}, fmt.Errorf("a position has %d bytes and must have %d", len(raw), positionBytes)
	}
	n := binary.BigEndian.Uint64
	return position{n(raw), n(raw[8:]), n(raw[16:])}, nil
}

func (v view) position() position {
	raw, ok := v.value([]byte{positionMark})
	if !ok {
		return position{}
	}
	p, err := decodePosition(raw)
	must(err)
	return p
}

// get reads one record.
func (t *table[M]) get(v view, name string) (M, bool) {
	raw, ok := v.value(t.key(name))
	if !ok {
		var zero M
		return zero, false
	}
	return t.decode(raw), true
}

// all reads every record, by name.
func (t *table[M]) all(v view) []M {
	var out []M
	v.walk([]byte{t.id}, nil, func(_, value []byte) bool {
		out = append(out, t.decode(value))
		return true
	})
	return out
}

func (t *table[M]) key(name string) []byte { return append([]byte{t.id}, name...) }

func (t *table[M]) decode(raw []byte) M {
	m := t.fresh()
	must(proto.Unmarshal(raw, m))
	return m
}
