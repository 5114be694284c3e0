package blobs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func kinds(t *testing.T, s *Store) map[Kind]int {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	out := map[Kind]int{}
	for _, h := range all {
		out[h.Kind]++
		if len(h.Digest) != 32 || h.Used.IsZero() {
			t.Errorf("listed %+v", h)
		}
	}
	return out
}

func TestWhatThereIsIsListedAndRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	one, err := s.Import("one", bytes.NewReader(model(1, 5000)))
	if err != nil {
		t.Fatal(err)
	}
	many, err := s.ImportFolder("many", bytes.NewReader(archive(t, map[string]string{"config.json": "{}", "a.safetensors": "xyz"})))
	if err != nil {
		t.Fatal(err)
	}
	m, parts := record(model(2, 5000), 1000)
	w := writer(t, s, m)
	if err := w.PutChunk(3, parts[3]); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, s); got[Whole] != 2 || got[Partial] != 1 || len(s.Digests()) != 2 {
		t.Errorf("listed %v", got)
	}
	if err := s.Remove(m.Digest, Partial, time.Now()); !errors.Is(err, ErrBusy) {
		t.Errorf("what is being written: %v", err)
	}
	w.Close()
	if err := errors.Join(s.Remove(m.Digest, Partial, time.Now()), s.Remove(one.Digest, Whole, time.Now()), s.Remove(many.Digest, Whole, time.Now()), s.Remove(one.Digest, Whole, time.Now())); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left %v", got)
	}
}

func TestWhatIsOpenIsInUse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	s := open(t, t.TempDir())
	m, err := s.Import("one", bytes.NewReader(model(1, 5000)))
	if err != nil {
		t.Fatal(err)
	}
	if s.InUse()[string(m.Digest)] {
		t.Error("nobody has it open")
	}
	f, err := os.Open(s.whole(m.Digest))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !s.InUse()[string(m.Digest)] {
		t.Error("this process has it open")
	}
}

func free(context.Context, int) error { return nil }

// TestAFlippedByteIsNamedAndMended: in a file of a folder, and in one of a single file.
func TestAFlippedByteIsNamedAndMended(t *testing.T) {
	from, s := open(t, t.TempDir()), open(t, t.TempDir())
	raw := folder()
	for name, take := range map[string]func(*Store) (*wire.Model, error){
		"model-00002-of-00002.safetensors": func(s *Store) (*wire.Model, error) { return s.ImportFolder("m", bytes.NewReader(archive(t, raw))) },
		"":                                 func(s *Store) (*wire.Model, error) { return s.Import("o", bytes.NewReader(model(5, 9<<20))) },
	} {
		m, err := take(s)
		if err == nil {
			_, err = take(from)
		}
		if err != nil {
			t.Fatal(err)
		}
		at := s.root(m)
		if name != "" {
			at = filepath.Join(at, name)
		}
		content, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)-10] ^= 1
		if err := os.WriteFile(at, content, 0o600); err != nil {
			t.Fatal(err)
		}
		bad, err := s.Scrub(t.Context(), m, free)
		if err != nil || len(bad) != 1 || bad[0].Chunk != len(m.Chunks)-1 && bad[0].Chunk != len(m.Chunks)-2 || bad[0].File != filepath.Base(at) {
			t.Fatalf("%s: found %v, %v", name, bad, err)
		}
		if err := s.Demote(m, []int{bad[0].Chunk}); err != nil {
			t.Fatal(err)
		}
		w := writer(t, s, m)
		if got := w.Missing(); !slices.Equal(got, []int{bad[0].Chunk}) || s.Has(m.Digest) {
			t.Errorf("missing %v", got)
		}
		good, err := from.ReadChunk(m, bad[0].Chunk)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.PutChunk(bad[0].Chunk, good); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		if bad, err := s.Scrub(t.Context(), m, free); err != nil || len(bad) > 0 {
			t.Errorf("afterwards: %v, %v", bad, err)
		}
	}
	if _, err := s.Scrub(t.Context(), &wire.Model{}, free); err == nil {
		t.Error("a record of nothing was scrubbed")
	}
	other, _ := record(model(9, 100), 10)
	if _, err := s.Scrub(t.Context(), other, free); spec.CodeOf(err) != spec.CodeNotFound {
		t.Errorf("what is not here: %v", err)
	}
}
