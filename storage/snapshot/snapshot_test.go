package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

var servers = raft.Configuration{Servers: []raft.Server{
	{Suffrage: raft.Voter, ID: "n1", Address: "127.0.0.1:7946"},
	{Suffrage: raft.Nonvoter, ID: "n2", Address: "127.0.0.2:7946"},
}}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// content is what the state machine writes at index.
func content(index uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(index)}).Read(b)
	return b
}

func begin(t *testing.T, s *Store, index uint64) raft.SnapshotSink {
	t.Helper()
	sink, err := s.Create(1, index, 3, servers, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func write(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	for part := range slices.Chunk(b, 7000) {
		if n, err := w.Write(part); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
}

func take(t *testing.T, s *Store, index uint64, b []byte) string {
	t.Helper()
	sink := begin(t, s, index)
	write(t, sink, b)
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return sink.ID()
}

func indexes(t *testing.T, s *Store) []uint64 {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	out := []uint64{}
	for _, m := range list {
		out = append(out, m.Index)
	}
	return out
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestSnapshotIsKeptOverARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i, size := range []int{0, 1, 300_000} {
		b := content(uint64(i), size)
		id := take(t, s, uint64(10+i), b)
		for _, at := range []*Store{s, open(t, dir)} {
			m, r, err := at.Open(id)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			want := &raft.SnapshotMeta{Version: 1, ID: id, Index: uint64(10 + i), Term: 3, Configuration: servers, ConfigurationIndex: 2, Size: int64(size)}
			if !reflect.DeepEqual(m, want) {
				t.Errorf("meta %+v, want %+v", m, want)
			}
		}
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, index := range []uint64{5, 100, 20, 30} {
		take(t, s, index, content(index, 10))
	}
	// 30 is kept although two have a higher index: it was just taken.
	if got := indexes(t, s); !slices.Equal(got, []uint64{100, 30}) {
		t.Errorf("listed %v", got)
	}
	if got := strings.Count(names(t, dir), metaFile); got != 2 {
		t.Errorf("the directory has %s", names(t, dir))
	}
	take(t, s, 90, nil)
	id := take(t, s, 7, nil)
	if got := indexes(t, s); !slices.Equal(got, []uint64{100, 90, 7}) {
		t.Errorf("listed %v", got)
	}
	if _, r, err := s.Open(id); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	take(t, s, 200, nil)
	if got := indexes(t, open(t, dir)); !slices.Equal(got, []uint64{200, 100}) {
		t.Errorf("listed %v", got)
	}
}

func TestReaderOutlivesRemoval(t *testing.T) {
	s := open(t, t.TempDir())
	b := content(1, 100_000)
	_, r, err := s.Open(take(t, s, 1, b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for index := range uint64(3) {
		take(t, s, 2+index, nil)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

func TestNothingIsSeenBeforeTheEnd(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	take(t, s, 1, nil)
	before := names(t, dir)
	sink := begin(t, s, 2)
	write(t, sink, content(2, 200_000))
	if got := indexes(t, s); !slices.Equal(got, []uint64{1}) {
		t.Errorf("listed %v", got)
	}
	if _, _, err := s.Open(sink.ID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished one was opened: %v", err)
	}
	if err := sink.Cancel(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil { // as Raft may do
		t.Error(err)
	}
	if got := names(t, dir); got != before {
		t.Errorf("a cancelled one left %s", got)
	}
	if _, err := sink.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("written after the end: %v", err)
	}
}

// TestFailedWriteLeavesNothing has the disk refuse.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k := begin(t, s, 1).(*sink)
	k.f.Close()
	for range 10 {
		_, _ = k.Write(content(1, 50_000))
	}
	if err := k.Close(); err == nil {
		t.Error("closed well over a failed write")
	}
	if got := names(t, dir); got != "" || len(indexes(t, s)) != 0 {
		t.Errorf("left %s", got)
	}
}

// TestEveryCrashPointLeavesWhatWasThere stops a snapshot in each of the states
// that its files go through.
func TestEveryCrashPointLeavesWhatWasThere(t *testing.T) {
	crash := map[string]func(t *testing.T, s *Store, k *sink){
		"before anything is written": func(*testing.T, *Store, *sink) {},
		"in the middle of the state": func(t *testing.T, _ *Store, k *sink) { write(t, k, content(2, 200_000)) },
		"after the state's name": func(t *testing.T, s *Store, k *sink) {
			write(t, k.f, content(2, 1000))
			rename(t, k.f.Name(), s.path(k.m.ID, stateFile))
		},
		"in the middle of the meta file": func(t *testing.T, s *Store, k *sink) {
			rename(t, k.f.Name(), s.path(k.m.ID, stateFile))
			spill(t, s.path(k.m.ID, metaFile+unfinished), []byte(`{"format":`))
		},
		"in the middle of a removal": func(t *testing.T, s *Store, k *sink) {
			spill(t, s.path("3-0-1", stateFile), content(0, 1000))
		},
	}
	for name, do := range crash {
		dir := t.TempDir()
		s := open(t, dir)
		take(t, s, 1, content(1, 1000))
		before := names(t, dir)
		k := begin(t, s, 2).(*sink)
		do(t, s, k)
		k.f.Close()
		again := open(t, dir)
		if got := indexes(t, again); !slices.Equal(got, []uint64{1}) {
			t.Errorf("%s: listed %v", name, got)
		}
		if got := names(t, dir); got != before {
			t.Errorf("%s: the directory has %s", name, got)
		}
		take(t, again, 2, nil)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func spill(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedSnapshotIsSkipped spoils the newest of two, before a start and
// while the store is open.
func TestDamagedSnapshotIsSkipped(t *testing.T) {
	flip := func(at int) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[at] ^= 1
			return os.WriteFile(path, b, 0o600)
		}
	}
	cut := func(path string) error { return os.Truncate(path, 10) }
	for name, c := range map[string]struct {
		extension string
		spoil     func(string) error
	}{
		"a bit of the state": {stateFile, flip(500)}, "a state cut short": {stateFile, cut}, "no state": {stateFile, os.Remove},
		"a digit of the meta": {metaFile, flip(10)}, "a bit of the meta's digest": {metaFile, flip(-1)}, "a meta cut short": {metaFile, cut},
		"an empty meta": {metaFile, func(path string) error { return os.Truncate(path, 0) }},
	} {
		dir := t.TempDir()
		s := open(t, dir)
		take(t, s, 1, content(1, 1000))
		id := take(t, s, 2, content(2, 1000))
		if name == "a bit of the meta's digest" {
			info, err := os.Stat(s.path(id, metaFile))
			if err != nil {
				t.Fatal(err)
			}
			c.spoil = flip(int(info.Size()) - 2)
		}
		if err := c.spoil(s.path(id, c.extension)); err != nil {
			t.Fatal(err)
		}
		if c.extension == stateFile { // found on the way, too
			if _, _, err := s.Open(id); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: opened with %v", name, err)
			}
			if got := indexes(t, s); !slices.Equal(got, []uint64{1}) {
				t.Errorf("%s: listed %v after it was found", name, got)
			}
		}
		for range 2 { // once marked, it stays so
			s = open(t, dir)
			if got := indexes(t, s); !slices.Equal(got, []uint64{1}) {
				t.Errorf("%s: listed %v", name, got)
			}
		}
		if got := names(t, dir); !strings.Contains(got, id+metaFile+bad) {
			t.Errorf("%s: it was not kept to be looked at: %s", name, got)
		}
		take(t, s, 3, nil)
		if got := names(t, dir); strings.Contains(got, bad) || strings.Contains(got, id) {
			t.Errorf("%s: it was never removed: %s", name, got)
		}
	}
}

// TestLaterFormatIsLeftAlone: a downgraded node does not use it, and does not
// remove it either.
func TestLaterFormatIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	take(t, s, 1, nil)
	m := meta{Format: format + 1, Version: 1, ID: "3-9-9", Index: 9}
	raw, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	spill(t, s.path(m.ID, metaFile), raw)
	spill(t, s.path(m.ID, stateFile), []byte("of tomorrow"))
	before := names(t, dir)
	if got := indexes(t, open(t, dir)); !slices.Equal(got, []uint64{1}) {
		t.Errorf("listed %v", got)
	}
	if got := names(t, dir); got != before {
		t.Errorf("the directory has %s", got)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, 0, nil); err == nil {
		t.Error("retained none")
	}
	file := filepath.Join(dir, "file")
	spill(t, file, nil)
	if _, err := Open(file, 1, nil); err == nil {
		t.Error("opened a file")
	}
	s := open(t, filepath.Join(dir, "s"))
	for _, id := range []string{"", "../file", "1-2-3"} {
		if _, _, err := s.Open(id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := s.Create(0, 1, 1, servers, 1, nil); err == nil {
		t.Error("created version 0")
	}
}

func TestIDsDiffer(t *testing.T) {
	s := open(t, t.TempDir())
	seen := map[string]bool{}
	for range 50 {
		k := begin(t, s, 1)
		if seen[k.ID()] {
			t.Fatalf("%s twice", k.ID())
		}
		seen[k.ID()] = true
		if err := k.Cancel(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzDecodeMeta(f *testing.F) {
	m := meta{Format: format, Version: 1, ID: "3-9-9", Index: 9, Term: 3, Configuration: servers}
	good, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Add([]byte(fmt.Sprintf("%s\n%x\n", "", 0)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decodeMeta("3-9-9", raw)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, errFormat) {
				t.Fatal(err)
			}
			return
		}
		if m.ID != "3-9-9" || m.Format != format || m.Size < 0 {
			t.Fatalf("%+v", m)
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeMeta("3-9-9", again); err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%+v came back as %+v, %v", m, back, err)
		}
	})
}
