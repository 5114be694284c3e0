package blobs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func piecesOf(s *Store, m *wire.Model, i int, again bool) ([]byte, error) {
	var out []byte
	err := s.ReadPieces(m, i, again, func(b []byte) error { out = append(out, b...); return nil })
	return out, err
}

// TestWhatComesIsGiven: chunks are received in pieces, and given while others lack.
func TestWhatComesIsGiven(t *testing.T) {
	s := open(t, t.TempDir())
	content := model(1, 3<<20+77)
	m, parts := record(content, 1<<20)
	if s.Chunks(m) != nil {
		t.Error("chunks of what is not here")
	}
	w := writer(t, s, m)
	if got := s.Chunks(m); !slices.Equal(got, make([]bool, 4)) {
		t.Errorf("at first: %v", got)
	}
	after := strings.NewReader("what follows")
	if err := w.Receive(2, iotest.HalfReader(io.MultiReader(bytes.NewReader(parts[2]), after))); err != nil {
		t.Fatal(err)
	}
	if after.Len() != len("what follows") {
		t.Error("it read on")
	}
	if got := s.Chunks(m); !slices.Equal(got, []bool{false, false, true, false}) {
		t.Errorf("with one: %v", got)
	}
	for _, again := range []bool{false, true} {
		if got, err := piecesOf(s, m, 2, again); err != nil || !bytes.Equal(got, parts[2]) {
			t.Errorf("again %v: %d bytes, %v", again, len(got), err)
		}
	}
	if _, err := piecesOf(s, m, 1, false); spec.CodeOf(err) != spec.CodeNotFound {
		t.Errorf("one that lacks: %v", err)
	}
	if err := w.Receive(1, bytes.NewReader(parts[0])); spec.CodeOf(err) != spec.CodeModelDamaged {
		t.Errorf("another's bytes: %v", err)
	}
	if err := w.Receive(1, bytes.NewReader(parts[1][:5])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
	for _, i := range []int{-1, 4} {
		if err := w.Receive(i, bytes.NewReader(parts[0])); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	if got := w.Missing(); !slices.Equal(got, []int{0, 1, 3}) {
		t.Errorf("missing %v", got)
	}
	for _, i := range []int{3, 1, 2, 0} {
		if err := w.Receive(i, bytes.NewReader(parts[i])); err != nil {
			t.Fatal(err)
		}
	}
	path, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, content) {
		t.Error("it is another file")
	}
	if got, err := piecesOf(s, m, 3, false); err != nil || !bytes.Equal(got, parts[3]) {
		t.Errorf("of the whole: %v", err)
	}
	stop := errors.New("enough")
	if err := s.ReadPieces(m, 0, false, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("who has enough is told %v", err)
	}
}

// TestWhatRotsWhileItComesIsMissing: it is found when somebody asks again.
func TestWhatRotsWhileItComesIsMissing(t *testing.T) {
	s := open(t, t.TempDir())
	m, parts := record(model(1, 5000), 1000)
	w := writer(t, s, m)
	if err := w.PutChunk(3, parts[3]); err != nil {
		t.Fatal(err)
	}
	flip(t, w.file(".data"), 3100)
	if _, err := piecesOf(s, m, 3, true); err == nil {
		t.Error("what is damaged was given")
	}
	if got := w.Missing(); len(got) != 5 {
		t.Errorf("missing %v", got)
	}
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err = f.ReadAt(b, at); err == nil {
		_, err = f.WriteAt([]byte{b[0] ^ 1}, at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheDamagedPartAloneIsLost, whether a load or another node finds it.
func TestTheDamagedPartAloneIsLost(t *testing.T) {
	for name, find := range map[string]func(*Store, *wire.Model) error{
		"asked again": func(s *Store, m *wire.Model) error { return s.LendChunk(m, 1, true, func([]byte) {}) },
		"in pieces":   func(s *Store, m *wire.Model) error { _, err := piecesOf(s, m, 1, true); return err },
		"loaded":      func(s *Store, m *wire.Model) error { _, err := s.Verified(t.Context(), m.Digest, m); return err },
	} {
		s := open(t, t.TempDir())
		m, err := s.Import("x", bytes.NewReader(model(3, 2*ChunkSize+9)))
		if err != nil {
			t.Fatal(err)
		}
		flip(t, s.whole(m.Digest), ChunkSize+100)
		if err := find(s, m); spec.CodeOf(err) != spec.CodeModelDamaged {
			t.Errorf("%s: %v", name, err)
		}
		if w := writer(t, s, m); s.Has(m.Digest) || !slices.Equal(w.Missing(), []int{1}) {
			t.Errorf("%s: missing %v", name, w.Missing())
		}
	}
}

// TestAFetchLooksForRoom before it begins, and counts what others are to write.
func TestAFetchLooksForRoom(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.free = func() int64 { return 9000 }
	s.reserve = func(*os.File, int64) (bool, error) { return false, nil }
	first, parts := record(model(1, 5000), 1000)
	w := writer(t, s, first)
	second, _ := record(model(2, 5000), 1000)
	if _, err := s.Writer(second); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "promised") {
		t.Errorf("the second of two that do not fit: %v", err)
	}
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("the store holds %v", got)
	}
	for i := range 2 {
		if err := w.PutChunk(i, parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	writer(t, s, second) // 3000 and 5000
}

// TestAFullDiskLeavesNothing but what was there before.
func TestAFullDiskLeavesNothing(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	dir := t.TempDir()
	s := open(t, dir)
	m, parts := record(model(1, 5000), 1000)
	for round := range 2 {
		w := writer(t, s, m)
		for i := range round * 2 {
			if err := w.PutChunk(i, parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		if round == 1 { // what an earlier writer had stays
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w = writer(t, s, m)
		}
		data := w.file(".data")
		if err := errors.Join(os.Rename(data, data+".kept"), os.Symlink("/dev/full", data)); err != nil {
			t.Fatal(err)
		}
		err := w.Receive(4, bytes.NewReader(parts[4]))
		if said := (*spec.Error)(nil); !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &said) || said.Hint == "" {
			t.Errorf("on a full disk: %v", err)
		}
		if err := errors.Join(w.Close(), os.Rename(data+".kept", filepath.Join(dir, "kept"))); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir); round == 0 && len(got) != 1 || round == 1 && len(got) != 3 {
			t.Errorf("round %d: the store holds %v", round, got)
		}
		if err := errors.Join(missingIsFine(os.Remove(data)), os.Remove(filepath.Join(dir, "kept"))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnImportOnAFullDiskLeavesNothing, where a small file system can be had.
func TestAnImportOnAFullDiskLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("no small file system can be had: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := open(t, dir)
	if _, err := s.Import("x", bytes.NewReader(model(1, 9<<20))); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("an import: %v", err)
	}
	if _, err := s.ImportFolder("x", bytes.NewReader(archive(t, folder()))); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("an import of a folder: %v", err)
	}
	s.reserve = func(*os.File, int64) (bool, error) { return false, nil } // as where a file system cannot
	m, parts := record(model(1, 5<<20), 1<<20)
	w := writer(t, s, m)
	if err := os.WriteFile(filepath.Join(dir, "another's"), make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; i < len(parts) && err == nil; i++ {
		err = w.PutChunk(i, parts[i])
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a fetch: %v", err)
	}
	w.Close()
	if got := files(t, dir); !slices.Equal(got, []string{"another's"}) {
		t.Errorf("the store holds %v", got)
	}
	if _, err := s.Writer(m); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("begun again: %v", err)
	}
}

// TestWhatGoesWhileItIsReadIsNotDamaged: a check runs while the model is removed.
func TestWhatGoesWhileItIsReadIsNotDamaged(t *testing.T) {
	s := open(t, t.TempDir())
	m, err := s.Import("x", bytes.NewReader(model(3, 2*ChunkSize+9)))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := s.Scrub(t.Context(), m, func(_ context.Context, _ int) error { return s.Remove(m.Digest, Whole, time.Now()) })
	if spec.CodeOf(err) != spec.CodeNotFound || len(bad) > 0 {
		t.Errorf("found %v, %v", bad, err)
	}
}

// TestWhatCameAgainStays: it was to go, and the same bytes came before it went.
func TestWhatCameAgainStays(t *testing.T) {
	s := open(t, t.TempDir())
	content := model(1, 5000)
	m, err := s.Import("x", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	seen := time.Now()
	if _, err := s.Import("y", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(m.Digest, Whole, seen); !errors.Is(err, ErrBusy) || !s.Has(m.Digest) {
		t.Errorf("what came again: %v", err)
	}
	if err := s.Remove(m.Digest, Whole, time.Now()); err != nil || s.Has(m.Digest) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestTheWholeIsHeldAgainstItsDigest by a check: its record's chunks are not the model's.
func TestTheWholeIsHeldAgainstItsDigest(t *testing.T) {
	s := open(t, t.TempDir())
	m, parts := record(model(1, 2500), 1000)
	m.Digest[0] ^= 1
	w := writer(t, s, m)
	for i, part := range parts {
		if err := w.PutChunk(i, part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if bad, err := s.Scrub(t.Context(), m, free); spec.CodeOf(err) != spec.CodeModelDamaged || len(bad) > 0 {
		t.Errorf("found %v, %v", bad, err)
	}
	path, err := s.Verified(t.Context(), m.Digest, m)
	if spec.CodeOf(err) != spec.CodeModelDamaged || !strings.Contains(err.Error(), "import it again") || s.Has(m.Digest) {
		t.Errorf("an engine is given %s, %v", path, err)
	}
}

func text(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// gguf is a GGUF's beginning with texts of its metadata: keys and values in turn.
func gguf(pairs ...string) string {
	b := head(3, 10, uint64(len(pairs)/2))
	for i := 0; i < len(pairs); i += 2 {
		b = text(b, pairs[i])
		b = text(binary.LittleEndian.AppendUint32(b, 8), pairs[i+1])
	}
	return string(append(b, make([]byte, 1000)...))
}

// TestAProjectorIsNotTheModel, whatever the files are called.
func TestAProjectorIsNotTheModel(t *testing.T) {
	llama := gguf("general.architecture", "llama")
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"by its name":         {map[string]string{"mmproj-x.gguf": gguf("general.architecture", "unheard-of"), "x.gguf": llama}, "x.gguf"},
		"by its architecture": {map[string]string{"a.gguf": gguf("general.architecture", "clip"), "b.gguf": llama}, "b.gguf"},
		"by its type":         {map[string]string{"a.gguf": gguf("general.name", "p", "general.type", "mmproj"), "b.gguf": llama}, "b.gguf"},
		"shards":              {map[string]string{"m-00001-of-00002.gguf": llama, "m-00002-of-00002.gguf": gguf("a", "b"), "M-MMPROJ.gguf": llama}, "m-00001-of-00002.gguf"},
		"nothing else":        {map[string]string{"mmproj.gguf": gguf("general.architecture", "clip")}, "mmproj.gguf"},
	} {
		s := open(t, t.TempDir())
		m, err := s.ImportFolder("m", bytes.NewReader(archive(t, c.files)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if path, ok := s.Path(m.Digest); !ok || filepath.Base(path) != c.want {
			t.Errorf("%s: the engine is given %s", name, path)
		}
	}
}

func FuzzIsProjector(f *testing.F) {
	f.Add([]byte(gguf("general.architecture", "clip")))
	f.Add([]byte("GGUF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if isProjector(b) && !bytes.Contains(b, []byte("clip")) && !bytes.Contains(b, []byte("mmproj")) {
			t.Fatalf("%q is none", b)
		}
	})
}

// TestPiecesGoPastThePageCache and come out as they went in, wherever files begin and end.
func TestPiecesGoPastThePageCache(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // one for each check of rapid
		if err != nil {
			r.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			r.Fatal(err)
		}
		c, size := content{root: filepath.Join(dir, "files")}, int64(0)
		for i := range rapid.IntRange(1, 4).Draw(r, "files") {
			n := rapid.SampledFrom([]int64{0, 1, 4095, 4096, 4097, 40_000, pieceSize, pieceSize + 5000}).Draw(r, "size")
			c.at = append(c.at, extent{path: string(rune('a' + i)), offset: size, size: n})
			size += n
		}
		if err := c.make(); err != nil {
			r.Fatal(err)
		}
		whole := model(3, int(size)+100)[:size]
		for at := int64(0); at < size; { // chunk by chunk, as they are received
			to, end := c.from(at), min(size, at+rapid.Int64Range(1, 100_000).Draw(r, "chunk"))
			to.direct = true
			for at < end {
				piece := s.borrowPiece()
				b := (*piece)[:to.next(int(min(end-at, pieceSize)))]
				at += int64(copy(b, whole[at:]))
				if err := to.write(b); err != nil {
					r.Fatal(err)
				}
				s.pieces.Put(piece)
			}
			if err := to.close(); err != nil {
				r.Fatal(err)
			}
		}
		for _, direct := range []bool{false, true} {
			from, got := c.from(0), make([]byte, 0, size)
			from.direct = direct
			for int64(len(got)) < size {
				piece := s.borrowPiece()
				b := (*piece)[:from.next(int(min(size-int64(len(got)), pieceSize)))]
				if err := from.read(b); err != nil {
					r.Fatal(err)
				}
				got = append(got, b...)
				s.pieces.Put(piece)
			}
			if from.close() != nil || !bytes.Equal(got, whole) {
				r.Fatalf("read past the cache %v: another content", direct)
			}
		}
	})
}
