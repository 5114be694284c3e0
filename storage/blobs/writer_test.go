package blobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// record describes content in chunks of that size.
func record(content []byte, chunk int) (*wire.Model, [][]byte) {
	sum := sha256.Sum256(content)
	m := &wire.Model{Name: "x", Format: "gguf", Digest: sum[:], Size: uint64(len(content)), ChunkSize: uint32(chunk)}
	var parts [][]byte
	for part := range slices.Chunk(content, chunk) {
		sum := sha256.Sum256(part)
		m.Chunks, parts = append(m.Chunks, sum[:]), append(parts, part)
	}
	return m, parts
}

func writer(t *testing.T, s *Store, m *wire.Model) *Writer {
	t.Helper()
	w, err := s.Writer(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func TestWriterTakesChunksInAnyOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := model(1, 100_001)
	m, parts := record(content, 1000)
	w := writer(t, s, m)
	for _, i := range rand.Perm(len(parts)) {
		if _, err := w.Commit(); err == nil {
			t.Fatal("committed with chunks missing")
		}
		if s.Has(m.Digest) {
			t.Fatal("the store has a model with chunks missing")
		}
		if err := w.PutChunk(i, parts[i]); err != nil {
			t.Fatal(err)
		}
		if err := w.PutChunk(i, parts[i]); err != nil { // once more
			t.Fatal(err)
		}
	}
	path, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, content) {
		t.Errorf("%d bytes, %v", len(kept), err)
	}
	if at, ok := s.Path(m.Digest); !ok || at != path {
		t.Errorf("Path: %s, %v", at, ok)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("the store holds %v", got)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.PutChunk(0, parts[0]); !errors.Is(err, os.ErrClosed) {
		t.Errorf("put after the end: %v", err)
	}
	if _, err := w.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("commit after the end: %v", err)
	}
}

func TestWriterRefusesWhatIsWrong(t *testing.T) {
	s := open(t, t.TempDir())
	m, parts := record(model(1, 2500), 1000)
	w := writer(t, s, m)
	for name, err := range map[string]error{
		"another's bytes": w.PutChunk(0, parts[1]), "too short": w.PutChunk(0, parts[0][:999]), "none": w.PutChunk(0, nil),
		"below": w.PutChunk(-1, parts[0]), "beyond": w.PutChunk(3, parts[0]),
	} {
		if code := spec.CodeOf(err); err == nil || code != spec.CodeModelDamaged && code != spec.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.Missing(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("missing: %v", got)
	}
	if _, err := s.Writer(m); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	w.Close()
	writer(t, s, m)
}

// TestWriterGoesOnAfterACrash damages what an earlier writer has left in several
// ways. What is not true is asked for again, and the result is right.
func TestWriterGoesOnAfterACrash(t *testing.T) {
	content := model(1, 9500)
	m, parts := record(content, 1000)
	for name, c := range map[string]struct {
		spoil   func(data, list string) error
		missing []int
	}{
		"nothing": {func(string, string) error { return nil }, []int{5, 6, 7, 8, 9}},
		"a chunk that never reached the disk": {func(data, _ string) error {
			f, err := os.OpenFile(data, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(make([]byte, 500), 2400)
			return err
		}, []int{2, 5, 6, 7, 8, 9}},
		"a list torn in the middle": {func(_, list string) error { return os.Truncate(list, 11) }, []int{2, 3, 4, 5, 6, 7, 8, 9}},
		"a list of nonsense": {func(_, list string) error {
			return os.WriteFile(list, bytes.Repeat([]byte{0xff, 0, 0, 1, 0, 0, 0, 9}, 50), 0o600)
		}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"no list":      {func(_, list string) error { return os.Remove(list) }, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"no data":      {func(data, _ string) error { return os.Remove(data) }, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"shorter data": {func(data, _ string) error { return os.Truncate(data, 3500) }, []int{3, 4, 5, 6, 7, 8, 9}},
		"longer data":  {func(data, _ string) error { return os.Truncate(data, 99999) }, []int{5, 6, 7, 8, 9}},
	} {
		dir := t.TempDir()
		w := writer(t, open(t, dir), m)
		for i := range 5 {
			if err := w.PutChunk(i, parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		data, list := w.file(".data"), w.file(".have")
		if err := c.spoil(data, list); err != nil { // the writer is not closed: it crashed
			t.Fatal(err)
		}
		s := open(t, dir)
		again := writer(t, s, m)
		missing := again.Missing()
		if !slices.Equal(missing, c.missing) {
			t.Errorf("%s: missing %v, want %v", name, missing, c.missing)
		}
		for _, i := range missing {
			if err := again.PutChunk(i, parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		if raw, err := os.ReadFile(list); err != nil || len(raw) != 4*len(parts) {
			t.Errorf("%s: the list has %d bytes, want %d; %v", name, len(raw), 4*len(parts), err)
		}
		path, err := again.Commit()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, content) {
			t.Errorf("%s: the file is not the model", name)
		}
	}
}

// TestCommitAfterAnImport: the same bytes came by another way meanwhile.
func TestCommitAfterAnImport(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := model(1, 2500)
	m, parts := record(content, 1000)
	w := writer(t, s, m)
	for i, part := range parts {
		if err := w.PutChunk(i, part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Import("x", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	path, err := w.Commit()
	if at, ok := s.Path(m.Digest); err != nil || !ok || path != at {
		t.Errorf("got %s, %v; want %s", path, err, at)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("the store holds %v", got)
	}
}

// TestWriterModel puts, stops and goes on at random, against a plain set.
func TestWriterModel(t *testing.T) {
	content := model(1, 7300)
	rapid.Check(t, func(r *rapid.T) {
		chunk := rapid.IntRange(300, 8000).Draw(r, "chunk size")
		m, parts := record(content, chunk)
		dir, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // one for each check of rapid
		if err != nil {
			r.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			r.Fatal(err)
		}
		have := map[int]bool{}
		for round := range rapid.IntRange(1, 4).Draw(r, "rounds") {
			w, err := s.Writer(m)
			if err != nil {
				r.Fatal(err)
			}
			var want []int
			for i := range parts {
				if !have[i] {
					want = append(want, i)
				}
			}
			if got := w.Missing(); !slices.Equal(got, want) {
				r.Fatalf("round %d: missing %v, want %v", round, got, want)
			}
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(parts)-1), 0, 12).Draw(r, "chunks") {
				if err := w.PutChunk(i, parts[i]); err != nil {
					r.Fatal(err)
				}
				have[i] = true
			}
			_, err = w.Commit()
			if whole := len(have) == len(parts); (err == nil) != whole || s.Has(m.Digest) != whole {
				r.Fatalf("%d of %d chunks: commit answers %v", len(have), len(parts), err)
			}
			if err := w.Close(); err != nil {
				r.Fatal(err)
			}
			if len(have) == len(parts) {
				return
			}
		}
	})
}

func FuzzListed(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255, 0}, uint16(3))
	f.Fuzz(func(t *testing.T, raw []byte, n uint16) {
		got := listed(raw, int(n))
		if len(got) > int(n) {
			t.Fatalf("%d of %d chunks", len(got), n)
		}
		seen := map[int]bool{}
		for _, i := range got {
			if i < 0 || i >= int(n) || seen[i] {
				t.Fatalf("listed %v of %d", got, n)
			}
			seen[i] = true
		}
		for at := 0; at+4 <= len(raw); at += 4 {
			if i := binary.BigEndian.Uint32(raw[at:]); i < uint32(n) && !seen[int(i)] {
				t.Fatalf("chunk %d was lost", i)
			}
		}
	})
}

func TestUnreadableDirectoryIsAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a file was opened as a store")
	}
}
