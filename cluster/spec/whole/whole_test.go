package whole

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// holds fails the test unless the directory holds one file, at path, with that content.
func holds(t *testing.T, path, content string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory holds %v, %v; want %s alone", entries, err, filepath.Base(path))
	}
	raw, err := os.ReadFile(path)
	if err != nil || string(raw) != content {
		t.Fatalf("the file holds %q, %v; want %q", raw, err, content)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("the file's mode is %v, %v; want 0600", info.Mode(), err)
	}
}

func TestFilesAreReplacedWhole(t *testing.T) {
	for name, write := range map[string]func(string, []byte) error{"synced": Write, "not synced": WriteUnsynced} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			for _, content := range []string{"a long one", "short", ""} {
				if err := write(path, []byte(content)); err != nil {
					t.Fatal(err)
				}
				holds(t, path, content)
			}
			if err := errors.Join(os.Chmod(path, 0o644), write(path, []byte("secret"))); err != nil {
				t.Fatal(err)
			}
			holds(t, path, "secret")
		})
	}
}

func TestAFileInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := Write("f", []byte("here")); err != nil {
		t.Fatal(err)
	}
	holds(t, "f", "here")
}

// A link is replaced, and what it names is left alone.
func TestALinkIsReplaced(t *testing.T) {
	other, path := filepath.Join(t.TempDir(), "other"), filepath.Join(t.TempDir(), "f")
	if err := errors.Join(Write(other, []byte("theirs")), os.Symlink(other, path), Write(path, []byte("ours"))); err != nil {
		t.Fatal(err)
	}
	holds(t, other, "theirs")
	holds(t, path, "ours")
}

type failing struct {
	*os.File
	write, sync, close error
}

func (f failing) Write(b []byte) (int, error) {
	if f.write != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, f.write
	}
	return f.File.Write(b)
}

func (f failing) Sync() error  { return errors.Join(f.sync, f.File.Sync()) }
func (f failing) Close() error { return errors.Join(f.File.Close(), f.close) }

func TestAFailedStepLeavesTheOldContentAndNothingBeside(t *testing.T) {
	broken := errors.New("broken")
	with := func(f failing) func(*steps) {
		return func(s *steps) {
			s.create = func(dir, pattern string) (file, error) {
				made, err := os.CreateTemp(dir, pattern)
				f.File = made
				return f, err
			}
		}
	}
	for _, c := range []struct {
		step string
		set  func(*steps)
		left string // content
	}{
		{"create", func(s *steps) { s.create = func(string, string) (file, error) { return nil, broken } }, "old"},
		{"write", with(failing{write: broken}), "old"},
		{"sync", with(failing{sync: broken}), "old"},
		{"close", with(failing{close: broken}), "old"},
		{"rename", func(s *steps) { s.rename = func(string, string) error { return broken } }, "old"},
		{"sync of the directory", func(s *steps) { s.syncDir = func(string) error { return broken } }, "new"},
	} {
		t.Run(c.step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := Write(path, []byte("old")); err != nil {
				t.Fatal(err)
			}
			s := disk
			c.set(&s)
			if err := s.write(path, []byte("new"), true); !errors.Is(err, broken) {
				t.Fatalf("a failed step gives %v, want its error", err)
			}
			holds(t, path, c.left)
		})
	}
}

// The order is what a crash of the machine holds one to: content, name, directory.
func TestStepsAreInTheirOrder(t *testing.T) {
	var order []string
	s := disk
	s.create = func(dir, pattern string) (file, error) {
		f, err := os.CreateTemp(dir, pattern)
		return noted{f, &order}, err
	}
	s.rename = func(from, to string) error { order = append(order, "rename"); return os.Rename(from, to) }
	s.syncDir = func(dir string) error { order = append(order, "directory"); return SyncDir(dir) }
	if err := s.write(filepath.Join(t.TempDir(), "f"), []byte("x"), true); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "write sync close rename directory" {
		t.Errorf("steps are %s", got)
	}
}

type noted struct {
	*os.File
	order *[]string
}

func (n noted) Write(b []byte) (int, error) {
	*n.order = append(*n.order, "write")
	return n.File.Write(b)
}
func (n noted) Sync() error  { *n.order = append(*n.order, "sync"); return n.File.Sync() }
func (n noted) Close() error { *n.order = append(*n.order, "close"); return n.File.Close() }

func TestAPlaceThatIsTaken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if Write(path, []byte("x")) == nil {
		t.Error("a directory was replaced by a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want what was there", entries, err)
	}
	if err := Write(filepath.Join(dir, "missing", "f"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the directory: %v", err)
	}
}

func TestWhatWasWrittenElsewhereIsPlaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	begin := func(content string) *os.File {
		f, err := os.CreateTemp(filepath.Dir(path), "own-")
		if err == nil {
			_, err = f.WriteString(content)
		}
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if err := Place(begin("one"), path); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "one")
	f := begin("two")
	f.Close()
	if Place(f, path) == nil {
		t.Error("a closed file was placed: nobody knows that it is on the disk")
	}
	holds(t, path, "one")
}

// Writers at the same time: readers see one of their contents, whole, and each succeeds.
func TestManyWritersAndReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	content := func(writer int) []byte { return bytes.Repeat([]byte{byte('a' + writer)}, 10_000+writer) }
	if err := WriteUnsynced(path, content(0)); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for range 50 {
				if err := WriteUnsynced(path, content(w)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				raw, err := os.ReadFile(path)
				if err != nil || len(raw) == 0 || !bytes.Equal(raw, content(int(raw[0]-'a'))) {
					t.Errorf("a reader found %d bytes, %v", len(raw), err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func TestWhatAKilledWriterLeftGoesAfterAWhile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	ago := time.Now().Add(-2 * abandoned)
	for name, old := range map[string]bool{
		"f.123.tmp": true, "f.7.tmp": false, "f.tmp": true, "f.12a.tmp": true, "g.123.tmp": true, "f.123": true,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if old {
			if err := os.Chtimes(filepath.Join(dir, name), ago, ago); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Write(path, nil); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); err != nil || got != "f f.123 f.12a.tmp f.7.tmp f.tmp g.123.tmp" {
		t.Errorf("left are %s, %v", got, err)
	}
}

const killedIn = "TEST_WHOLE_FILE" // the file that a process of the test writes until it is killed

// A process that is killed in the middle leaves a whole content.
func TestAKilledWriter(t *testing.T) {
	if path := os.Getenv(killedIn); path != "" {
		for i := 0; ; i++ {
			if err := Write(path, bytes.Repeat([]byte(strconv.Itoa(i%10)), 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "f")
	for round := range 5 {
		writer := exec.Command(os.Args[0], "-test.run=^TestAKilledWriter$")
		writer.Env = append(os.Environ(), killedIn+"="+path)
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(path); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal("the writer writes nothing")
			}
		}
		time.Sleep(time.Duration(round) * 7 * time.Millisecond)
		if err := writer.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait()
		raw, err := os.ReadFile(path)
		if err != nil || len(raw) != 1<<20 || len(bytes.Trim(raw, string(raw[:1]))) != 0 {
			t.Fatalf("a killed writer left %d bytes, %v", len(raw), err)
		}
	}
}
