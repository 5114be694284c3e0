package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// maxEntry bounds an entry, bytes: a command may have 16 MiB.
const maxEntry = 17 << 20

// Next gives the entry after the older state or after the entry before; io.EOF
// after the last, once the file is known to be whole. Read comes to its end first.
func (r *Reader) Next() (*wire.Entry, error) {
	if r.ended != nil {
		return nil, r.ended
	}
	if !errors.Is(r.based, io.EOF) {
		return nil, errors.New("the state is to be read before the entries")
	}
	e, err := r.entry()
	switch {
	case errors.Is(err, errEnd):
		err = r.ended // which end has set
	case err != nil:
		r.ended = fault(r.file, fmt.Sprintf("what follows entry %d", r.index), err)
		err = r.ended
	}
	return e, err
}

func (r *Reader) entry() (*wire.Entry, error) {
	n, err := r.size()
	switch {
	case err != nil:
		return nil, err
	case n == 0 && r.index != r.Manifest.Index:
		return nil, fmt.Errorf("the entries end there, and the manifest says %d", r.Manifest.Index)
	case n == 0:
		return nil, r.end()
	case n > maxEntry:
		return nil, fmt.Errorf("an entry claims %d bytes and may have %d", n, maxEntry)
	}
	r.buffer.Reset()
	if _, err := io.CopyN(&r.buffer, r.packed, int64(n)); err != nil { // memory grows with what has come
		return nil, err
	}
	r.sum.Write(r.buffer.Bytes())
	e := &wire.Entry{}
	if err := proto.Unmarshal(r.buffer.Bytes(), e); err != nil {
		return nil, err
	}
	switch {
	case e.GetIndex() != r.index+1:
		return nil, fmt.Errorf("the next entry is %d: there is a gap", e.GetIndex())
	case e.GetIndex() > r.Manifest.Index:
		return nil, fmt.Errorf("entry %d is there, and the manifest says that %d is the last", e.GetIndex(), r.Manifest.Index)
	case e.GetTerm() < r.term:
		return nil, fmt.Errorf("entry %d is of term %d, after one of term %d", e.GetIndex(), e.GetTerm(), r.term)
	}
	r.index, r.term = e.GetIndex(), e.GetTerm()
	return e, nil
}

// size reads the size of what comes next.
func (r *Reader) size() (uint32, error) {
	var raw [4]byte
	err := r.full(raw[:])
	return binary.BigEndian.Uint32(raw[:]), err
}
