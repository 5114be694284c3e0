package blobs

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// ChunkSize is that of models imported here, in bytes: small enough for a chunk
// to be asked for again, large enough for a model of 100 GB to have few.
const ChunkSize = 4 << 20

// Import keeps what r gives to its end, as a model of that name, and returns its
// record; when and where it was imported is the caller's to fill in. Nothing is
// kept of a file that is no GGUF, nor when r fails: its error is wrapped. If the
// same bytes are here already, they are kept once.
func (s *Store) Import(name string, r io.Reader) (*wire.Model, error) {
	if name == "" {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Message: "The model has no name.", Param: "name"}
	}
	f, err := os.CreateTemp(s.incoming(), "import-")
	if err != nil {
		return nil, s.diskError(err)
	}
	defer func() {
		f.Close()
		os.Remove(f.Name()) // after adopt there is none of that name
	}()
	m, err := s.take(f, r)
	if err != nil {
		return nil, fmt.Errorf("import model %s: %w", name, err)
	}
	m.Name = name
	if _, err := s.adopt(content{f.Name(), layout(m)}, m, true); err != nil {
		return nil, fmt.Errorf("import model %s: %w", name, err)
	}
	return m, nil
}

// take streams r into f, if there is one, a chunk in memory at a time.
func (s *Store) take(f *os.File, r io.Reader) (*wire.Model, error) {
	m := &wire.Model{Format: "gguf", ChunkSize: ChunkSize}
	sum, buf := sha256.New(), make([]byte, ChunkSize)
	var head header
	for last := false; !last; {
		n, err := fill(r, buf)
		last = err == io.EOF
		if err != nil && !last {
			return nil, err
		}
		if m.Size == 0 && holdsAdapter(buf[:n]) {
			m.Format = formatAdapter
		} else if m.Size == 0 {
			if head, err = checkHeader(buf[:n]); err != nil {
				return nil, err
			}
		}
		if n == 0 {
			break
		}
		if f != nil {
			if _, err := f.Write(buf[:n]); err != nil {
				return nil, s.diskError(err)
			}
			flush(f, int64(m.Size), int64(n))
		}
		sum.Write(buf[:n])
		chunk := sha256.Sum256(buf[:n])
		m.Chunks = append(m.Chunks, chunk[:])
		m.Size += uint64(n)
	}
	m.Digest = sum.Sum(nil)
	return m, head.checkSize(m.Size)
}

// fill reads until buf is full or r ends, with io.EOF. Unlike io.ReadFull, it
// leaves r's own io.ErrUnexpectedEOF apart from a proper end: it says that an
// upload was cut off.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var got int
		got, err = r.Read(buf[n:])
		n += got
	}
	if n == len(buf) && err == io.EOF {
		return n, nil // the next call will say so
	}
	return n, err
}
