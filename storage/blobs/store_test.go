package blobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// model makes a file that passes for a GGUF of that size.
func model(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	copy(b, head(3, 10, 5))
	return b
}

func head(version uint32, tensors, entries uint64) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("GGUF"), version)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, tensors), entries)
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImport(t *testing.T) {
	for _, size := range []int{1000, ChunkSize - 1, ChunkSize, ChunkSize + 1, 2*ChunkSize + 12345} {
		dir := t.TempDir()
		s := open(t, dir)
		content := model(uint64(size), size)
		m, err := s.Import("tiny", iotest.HalfReader(bytes.NewReader(content)))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if m.Name != "tiny" || m.Format != "gguf" || m.Size != uint64(size) || m.ChunkSize != ChunkSize || !bytes.Equal(m.Digest, sum[:]) {
			t.Errorf("%d bytes: record %v", size, m)
		}
		if err := check(m); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		path, ok := s.Path(m.Digest)
		kept, err := os.ReadFile(path)
		if !ok || !s.Has(m.Digest) || err != nil || !bytes.Equal(kept, content) {
			t.Errorf("%d bytes: not kept at %s (%v): %v", size, path, ok, err)
		}
		var joined []byte
		for i := range m.Chunks {
			b, err := s.ReadChunk(m, i)
			if err != nil {
				t.Fatal(err)
			}
			joined = append(joined, b...)
		}
		if !bytes.Equal(joined, content) {
			t.Errorf("%d bytes: the chunks are not the file", size)
		}
		if got := files(t, dir); len(got) != 1 {
			t.Errorf("%d bytes: the store holds %v", size, got)
		}
	}
}

func TestImportOfTheDemonstrationsModel(t *testing.T) {
	f, err := os.Open("../../node/demo/lota-tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := open(t, t.TempDir()).Import("lota-tiny", f); err != nil {
		t.Error(err)
	}
}

func TestSameBytesAreKeptOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := model(1, ChunkSize+7)
	models := make([]*wire.Model, 8)
	var wg sync.WaitGroup
	for i := range models { // half of them at a time with other bytes
		wg.Go(func() {
			var err error
			if models[i], err = s.Import(fmt.Sprint("m", i), bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
			if _, err := s.Import(fmt.Sprint("other", i), bytes.NewReader(model(uint64(2+i), 5000))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, m := range models {
		if m.GetName() != fmt.Sprint("m", i) || !bytes.Equal(m.GetDigest(), models[0].GetDigest()) {
			t.Errorf("record %d: %v", i, m)
		}
	}
	if got := files(t, dir); len(got) != 1+len(models) {
		t.Errorf("the store holds %v", got)
	}
}

func TestFailedImportLeavesNothing(t *testing.T) {
	content := model(1, 2*ChunkSize)
	broken := errors.New("line broke")
	for name, r := range map[string]io.Reader{
		"error":            io.MultiReader(bytes.NewReader(content[:ChunkSize+5]), iotest.ErrReader(broken)),
		"error at once":    iotest.ErrReader(broken),
		"cut off":          io.MultiReader(bytes.NewReader(content[:ChunkSize+5]), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"cut off at chunk": io.MultiReader(bytes.NewReader(content[:ChunkSize]), iotest.ErrReader(io.ErrUnexpectedEOF)),
	} {
		dir := t.TempDir()
		m, err := open(t, dir).Import("x", r)
		if !errors.Is(err, broken) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
		if got := files(t, dir); len(got) != 0 {
			t.Errorf("%s: the store holds %v", name, got)
		}
	}
	if _, err := open(t, t.TempDir()).Import("", bytes.NewReader(content)); spec.CodeOf(err) != spec.CodeInvalidRequest {
		t.Errorf("without a name: %v", err)
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	m, err := s.Import("x", bytes.NewReader(model(1, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.incoming(), "import-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if got := files(t, dir); len(got) != 1 || !again.Has(m.Digest) {
		t.Errorf("the store holds %v", got)
	}
}

// TestDamageIsNoticed spoils a file in each way that a disk may.
func TestDamageIsNoticed(t *testing.T) {
	for name, spoil := range map[string]func(*os.File) error{
		"a bit":     func(f *os.File) error { _, err := f.WriteAt([]byte{1}, ChunkSize+100); return err },
		"cut short": func(f *os.File) error { return f.Truncate(ChunkSize + 100) },
	} {
		dir := t.TempDir()
		s := open(t, dir)
		content := model(3, 2*ChunkSize)
		content[ChunkSize+100] = 0
		m, err := s.Import("x", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		path, _ := s.Path(m.Digest)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := s.ReadChunk(m, 0); err != nil {
			t.Errorf("%s: a chunk that is whole: %v", name, err)
		}
		if b, err := s.ReadChunk(m, 1); spec.CodeOf(err) != spec.CodeModelDamaged {
			t.Errorf("%s: got %d bytes, %v", name, len(b), err)
		}
		if s.Has(m.Digest) {
			t.Errorf("%s: the damaged file is still offered", name)
		}
		if got := files(t, dir); len(got) != 2 || filepath.Dir(got[0]) != "partial" {
			t.Errorf("%s: the store holds %v", name, got)
		}
		if _, err := s.ReadChunk(m, 0); spec.CodeOf(err) != spec.CodeNotFound {
			t.Errorf("%s: afterwards: %v", name, err)
		}
		if _, err := s.Import("x", bytes.NewReader(content)); err != nil || !s.Has(m.Digest) {
			t.Errorf("%s: imported again: %v", name, err)
		}
	}
}

// TestWhatIsLoadedIsVerified: at first, and again when the file has changed.
func TestWhatIsLoadedIsVerified(t *testing.T) {
	s := open(t, t.TempDir())
	m, err := s.Import("m", bytes.NewReader(model(1, 3<<20)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if path, err := s.Verified(t.Context(), m.Digest, m); err != nil || path != s.whole(m.Digest) {
			t.Fatalf("%s, %v", path, err)
		}
	}
	if _, err := s.Verified(t.Context(), make([]byte, 32), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	raw, err := os.ReadFile(s.whole(m.Digest))
	if err != nil {
		t.Fatal(err)
	}
	raw[2<<20] ^= 1
	if err := os.WriteFile(s.whole(m.Digest), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verified(ended, m.Digest, m); !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %v", err)
	}
	if _, err := s.Verified(t.Context(), m.Digest, m); spec.CodeOf(err) != spec.CodeModelDamaged {
		t.Errorf("damaged: %v", err)
	}
	if s.Has(m.Digest) || len(files(t, s.dir)) != 3 { // what is left of it, the list, and that it was used
		t.Errorf("it counts as whole: %v", files(t, s.dir))
	}
}

// TestGoodFileIsNotSetAsideForAnOldOne is a reader that finds damage in a file
// which has been replaced since.
func TestGoodFileIsNotSetAsideForAnOldOne(t *testing.T) {
	s := open(t, t.TempDir())
	content := model(1, 1000)
	m, err := s.Import("x", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	path, _ := s.Path(m.Digest)
	old, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import("x", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := s.damage(old, m, 0); spec.CodeOf(err) != spec.CodeModelDamaged {
		t.Error(err)
	}
	if !s.Has(m.Digest) {
		t.Error("the good file was set aside")
	}
}

func TestRecordsAreChecked(t *testing.T) {
	s := open(t, t.TempDir())
	good, err := s.Import("x", bytes.NewReader(model(1, ChunkSize+1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*wire.Model){
		"digest": func(m *wire.Model) { m.Digest = m.Digest[:31] }, "no size": func(m *wire.Model) { m.Size = 0 },
		"huge size": func(m *wire.Model) { m.Size = 1 << 63 }, "no chunk size": func(m *wire.Model) { m.ChunkSize = 0 },
		"huge chunks":  func(m *wire.Model) { m.ChunkSize = 1 << 31 },
		"chunks lack":  func(m *wire.Model) { m.Chunks = m.Chunks[:1] },
		"chunk digest": func(m *wire.Model) { m.Chunks = [][]byte{m.Chunks[0], nil} },
	} {
		m := &wire.Model{Name: "x", Digest: slices.Clone(good.Digest), Size: good.Size, ChunkSize: good.ChunkSize, Chunks: slices.Clone(good.Chunks)}
		if check(m) != nil {
			t.Fatal("the record was not good to begin with")
		}
		spoil(m)
		if _, err := s.ReadChunk(m, 0); err == nil {
			t.Errorf("%s: read", name)
		}
		if w, err := s.Writer(m); err == nil {
			w.Close()
			t.Errorf("%s: written", name)
		}
	}
	for _, i := range []int{-1, 2} {
		if _, err := s.ReadChunk(good, i); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	if !s.Has(good.Digest) {
		t.Error("a bad record had the file set aside")
	}
}
