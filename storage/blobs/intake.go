package blobs

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An Intake takes a file from its beginning to its end, whose digest is known and
// whose chunks are not. What it took is there for the next one of that digest, also
// after a crash. One goroutine may use it.
type Intake struct {
	s      *Store
	digest []byte
	f      *os.File
	size   int64
}

// Intake begins or goes on with taking a file. It must be closed.
func (s *Store) Intake(digest []byte) (*Intake, error) {
	if !s.claim(digest) {
		return nil, fmt.Errorf("take model %s: %w", hex.EncodeToString(digest[:min(6, len(digest))]), ErrBusy)
	}
	in := &Intake{s: s, digest: digest}
	var err error
	if in.f, err = os.OpenFile(filepath.Join(s.partial(), hex.EncodeToString(digest)+pulled), os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		in.size, err = in.f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, errors.Join(s.diskError(err), in.Close())
	}
	return in, nil
}

// pulled ends the name of what an Intake has.
const pulled = ".pull"

// Size is what is there, in bytes.
func (in *Intake) Size() int64 { return in.size }

// Restart drops what is there.
func (in *Intake) Restart() error {
	in.size = 0
	_, err := in.f.Seek(0, io.SeekStart)
	return errors.Join(in.f.Truncate(0), err)
}

// Write takes what follows. What cannot be a model is refused at its first bytes.
func (in *Intake) Write(b []byte) (int, error) {
	if in.size == 0 && len(b) >= 512 && !holdsAdapter(b) && !bytes.HasPrefix(b, []byte("GGUF")) {
		return 0, notGGUF(b)
	}
	n, err := in.f.Write(b)
	in.size += int64(n)
	return n, in.s.diskError(err)
}

// Finish makes what is there a model of that name, and returns its record as Import
// does. If it is not what its digest says it is dropped, and the error's code is
// spec.CodeModelDamaged.
func (in *Intake) Finish(name string) (*wire.Model, error) {
	if _, err := in.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	m, err := in.s.take(nil, in.f)
	if err != nil {
		return nil, errors.Join(err, in.drop())
	}
	if !bytes.Equal(m.Digest, in.digest) {
		return nil, errors.Join(&spec.Error{Code: spec.CodeModelDamaged,
			Message: fmt.Sprintf("What was pulled has the digest sha256:%x, not sha256:%x.", m.Digest, in.digest),
			Hint:    "Compare the digest with its publisher's; what came was dropped, so that pulling again begins anew."}, in.drop())
	}
	m.Name = name
	_, err = in.s.adopt(content{in.f.Name(), layout(m)}, m, true)
	return m, err
}

func (in *Intake) drop() error { return missingIsFine(os.Remove(in.f.Name())) }

// Close ends the taking, and keeps what is there.
func (in *Intake) Close() error {
	if in.s == nil {
		return nil
	}
	in.s.release(in.digest)
	in.s = nil
	if in.f == nil {
		return nil
	}
	return in.f.Close()
}

// Record reads a whole model of one file, and returns its record as Finish does: it came,
// and the state does not know it, as after a crash in between. If it is not what its
// digest says it is set aside, and the error's code is spec.CodeModelDamaged; the error
// wraps fs.ErrNotExist if there is none.
func (s *Store) Record(ctx context.Context, name string, digest []byte) (*wire.Model, error) {
	f, err := os.Open(s.whole(digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	had, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.mu.came[string(digest)] = time.Now() // it is not what was to go
	s.mu.Unlock()
	m, err := s.take(nil, patient{ctx, f})
	switch {
	case err != nil && spec.CodeOf(err) != spec.CodeInvalidRequest:
		return nil, fmt.Errorf("read model %s: %w", name, err)
	case err != nil || !bytes.Equal(m.Digest, digest):
		moved, err := s.setAside(had, digest)
		return nil, &spec.Error{Code: spec.CodeModelDamaged, Err: err, Message: fmt.Sprintf("The file of model %s does not match its digest. %s", name, fate(moved, err))}
	}
	s.vouch(digest, stamp{size: had.Size(), modified: had.ModTime()})
	m.Name = name
	return m, nil
}
