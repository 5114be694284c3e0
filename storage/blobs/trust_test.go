package blobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestAFetchedModelIsVerifiedOnce as a whole, and gives its chunks unread before that.
func TestAFetchedModelIsVerifiedOnce(t *testing.T) {
	s := open(t, t.TempDir())
	m, parts := record(model(1, 2500), 1000)
	w := writer(t, s, m)
	for i, part := range parts {
		if err := w.PutChunk(i, part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	now, err := s.content(m).stamp()
	if err != nil || !s.known(m.Digest, now) || s.sound(m.Digest, now) {
		t.Errorf("after it came: chunks known %v, whole %v, %v", s.known(m.Digest, now), s.sound(m.Digest, now), err)
	}
	if _, err := s.Verified(t.Context(), m.Digest, m); err != nil || !s.sound(m.Digest, now) {
		t.Errorf("after a load: whole %v, %v", s.sound(m.Digest, now), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verified(ended, m.Digest, m); err != nil { // which reads nothing any more
		t.Errorf("loaded again: %v", err)
	}
}

// TestWhatIsWrongIsNotWrittenToAMendedCopy: engines may have it mapped.
func TestWhatIsWrongIsNotWrittenToAMendedCopy(t *testing.T) {
	s := open(t, t.TempDir())
	content := model(3, 2*ChunkSize+9)
	m, err := s.Import("x", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Demote(m, []int{1}); err != nil {
		t.Fatal(err)
	}
	w := writer(t, s, m)
	good := content[ChunkSize : 2*ChunkSize]
	if err := w.Receive(1, bytes.NewReader(make([]byte, ChunkSize))); spec.CodeOf(err) != spec.CodeModelDamaged {
		t.Errorf("what is wrong: %v", err)
	}
	if err := w.Receive(1, bytes.NewReader(make([]byte, 100_000))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("what is cut off: %v", err)
	}
	if kept, err := os.ReadFile(w.file(".data")); err != nil || !bytes.Equal(kept, content) {
		t.Errorf("it was written to: %v", err)
	}
	if err := w.Receive(1, bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Error(err)
	}
}

// TestWhatCannotBeReadIsNotWrong: the chunk counts as written after a failure of the disk.
func TestWhatCannotBeReadIsNotWrong(t *testing.T) {
	s := open(t, t.TempDir())
	m, parts := record(model(1, 5000), 1000)
	w := writer(t, s, m)
	if err := w.PutChunk(3, parts[3]); err != nil {
		t.Fatal(err)
	}
	data := w.file(".data")
	if err := errors.Join(os.Rename(data, data+".kept"), os.Mkdir(data, 0o700)); err != nil { // reading which fails
		t.Fatal(err)
	}
	if _, err := piecesOf(s, m, 3, true); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("what cannot be read: %v", err)
	}
	if err := errors.Join(os.Remove(data), os.Rename(data+".kept", data)); err != nil {
		t.Fatal(err)
	}
	if got, err := piecesOf(s, m, 3, true); err != nil || !bytes.Equal(got, parts[3]) {
		t.Errorf("afterwards: %v, missing %v", err, w.Missing())
	}
}

// TestWithoutAWayPastThePageCache chunks come and are read as usual.
func TestWithoutAWayPastThePageCache(t *testing.T) {
	was := openPast
	t.Cleanup(func() { openPast = was })
	openPast = func(string, int) (*os.File, error) { return nil, syscall.EINVAL }
	from, to := open(t, t.TempDir()), open(t, t.TempDir())
	m, err := from.ImportFolder("m", bytes.NewReader(archive(t, folder())))
	if err != nil {
		t.Fatal(err)
	}
	w := writer(t, to, m)
	for i := range m.Chunks {
		b, err := from.ReadChunk(m, i)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Receive(i, bytes.NewReader(b)); err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
		if got, err := piecesOf(to, m, i, true); err != nil || !bytes.Equal(got, b) {
			t.Errorf("chunk %d while the model comes: %v", i, err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Error(err)
	}
}
