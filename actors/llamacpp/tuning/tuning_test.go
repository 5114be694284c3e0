package tuning

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestChooseByWhatWasMeasured(t *testing.T) {
	c, ok := Choose([]Result{
		{"zen4", 1, 500, 100}, {"zen4", 2, 520, 90}, // newer instructions, slower
		{"haswell", 1, 900, 250}, {"haswell", 2, 1700, 260}, {"haswell", 1, 800, 200},
	})
	if !ok || c.Variant != "haswell" || c.Threads != 1 || c.BatchThreads != 2 || c.Prefill != 1700 || c.Decode != 250 {
		t.Errorf("%+v, %t", c, ok)
	}
	if c, ok := Choose(nil); ok {
		t.Errorf("out of nothing %+v", c)
	}
}

// No measured way is more than the worth of a thread faster than the chosen one.
func TestChooseIsNearTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var results []Result
		for range rapid.IntRange(1, 20).Draw(t, "n") {
			results = append(results, Result{
				rapid.SampledFrom([]string{"a", "b"}).Draw(t, "variant"), rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "threads"),
				rapid.Float64Range(1, 1e4).Draw(t, "prefill"), rapid.Float64Range(1, 1e4).Draw(t, "decode"),
			})
		}
		c, ok := Choose(results)
		if !ok || !slices.ContainsFunc(results, func(r Result) bool { return r.Variant == c.Variant && r.Threads == c.Threads }) {
			t.Fatalf("%+v of %+v", c, results)
		}
		for _, r := range results {
			if r.Variant == c.Variant && r.Threads <= c.Threads && r.Decode > c.Decode*worth {
				t.Fatalf("%+v is faster than %+v, with no more threads", r, c)
			}
		}
	})
}

func TestCounts(t *testing.T) {
	for cores, want := range map[int][]int{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 8: {1, 2, 4, 8}} {
		if got := Counts(cores); !slices.Equal(got, want) {
			t.Errorf("%d cores: %v", cores, got)
		}
	}
}

func libraryDir(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range append(names, "libllama.so") {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMeasuredOnceAndKept(t *testing.T) {
	dir := libraryDir(t, "libggml-cpu-haswell.so", "libggml-cpu-zen4.so", "libggml-cpu-sse42.so")
	file := filepath.Join(t.TempDir(), "sub", "tuning.json")
	var runs atomic.Int32
	measure := func(_ context.Context, variant string, _ time.Duration) []Result {
		runs.Add(1)
		switch variant {
		case "haswell":
			return []Result{{variant, 1, 100, 50}}
		case "zen4":
			return []Result{{variant, 1, 90, 20}}
		}
		t.Errorf("%q was tried, though newer ones ran", variant)
		return nil
	}
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() {
			if c, ok := forKey(t.Context(), file, "key", dir, measure, slog.New(slog.DiscardHandler)); !ok || c.Variant != "haswell" {
				t.Errorf("%+v, %t", c, ok)
			}
		})
	}
	wait.Wait()
	// a choice that was measured beside other work is measured again when there is none
	if n := runs.Load(); n%4 != 0 || n > 20 {
		t.Errorf("%d measurements", n)
	}
	if c, ok := Known(file, "key"); !ok || c.Variant != "haswell" || c.Measured.IsZero() {
		t.Errorf("kept is %+v, %t", c, ok)
	}
	if err := os.WriteFile(file, []byte(`{"version":1,"choices":{"key":{"variant":"../x","threads":1,"batch_threads":1}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, ok := Known(file, "key"); ok {
		t.Errorf("%+v was taken from a damaged file", c)
	}
}

func TestOldVariantsWhereNoneElseRuns(t *testing.T) {
	dir := libraryDir(t, "libggml-cpu-haswell.so", "libggml-cpu-sse42.so")
	measure := func(_ context.Context, variant string, _ time.Duration) []Result {
		if variant == "sse42" {
			return []Result{{variant, 1, 10, 5}}
		}
		return nil
	}
	if c, ok := Choose(all(t.Context(), dir, measure)); !ok || c.Variant != "sse42" {
		t.Errorf("%+v, %t", c, ok)
	}
}

func TestIsolate(t *testing.T) {
	dir := libraryDir(t, "libggml-cpu-haswell.so", "libggml-cpu-zen4.so", "libggml-cuda.so")
	only, err := Isolate(dir, "zen4")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(only)
	entries, err := os.ReadDir(only)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"libggml-cpu-zen4.so", "libggml-cuda.so", "libllama.so"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := Isolate(dir, "none"); err == nil {
		t.Error("a variant that is not there was isolated")
	}
}

func TestKeyTellsMachinesApart(t *testing.T) {
	a := []byte("processor: 0\nmodel name: X\ncpu MHz: 1000\nflags: avx2\n\nprocessor: 1\nmodel name: Y\n")
	same := []byte("processor: 0\nmodel name: X\ncpu MHz: 2000\nflags: avx2\n\nprocessor: 1\nmodel name: Z\n")
	other := []byte("processor: 0\nmodel name: X\nflags: avx2 avx512\n")
	if processor(a) != processor(same) || processor(a) == processor(other) {
		t.Errorf("%s %s %s", processor(a), processor(same), processor(other))
	}
	if class(1<<20) != "tiny" || class(20<<30) != "large" || !busy([]byte("2.5 1 1 1/1 1"), 2) || busy([]byte("0.5 9 9"), 2) || busy(nil, 1) {
		t.Error("classes or loads are misread")
	}
	dir := libraryDir(t)
	one, err := Key(dir, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "libllama.so"), []byte("another build"), 0o600); err != nil {
		t.Fatal(err)
	}
	if two, err := Key(dir, 5); err != nil || one == two {
		t.Errorf("%s for two builds: %v", one, err)
	}
}

func TestKeepBoundsTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tuning.json")
	for i := range maxChoices + 5 {
		if err := Keep(file, strconv.Itoa(i), Choice{Threads: 1, BatchThreads: 1, Measured: time.Unix(int64(i), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	_, oldest := Known(file, "4")
	if _, ok := Known(file, strconv.Itoa(maxChoices+4)); !ok || oldest {
		t.Error("the wrong choices were kept")
	}
}

func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"version":1,"choices":{"k":{"variant":"haswell","threads":1,"batch_threads":2,"measured":"2026-01-02T03:04:05Z"}}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for key, c := range parse(raw) {
			if !c.sound() || strings.Contains(c.Variant, "/") {
				t.Errorf("%q: %+v", key, c)
			}
		}
		_ = processor(raw)
		_ = busy(raw, 2)
	})
}

func FuzzResults(f *testing.F) {
	f.Add([]byte("{\"variant\":\"haswell\",\"threads\":1,\"prefill_tps\":2,\"decode_tps\":3}\nnoise\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, r := range Results(raw) {
			again, err := json.Marshal(r)
			if err != nil || r.Threads < 1 || r.Prefill <= 0 || r.Decode <= 0 {
				t.Errorf("%+v: %v", r, err)
			}
			if back := Results(again); len(back) != 1 || !reflect.DeepEqual(back[0], r) {
				t.Errorf("%+v became %+v", r, back)
			}
		}
	})
}
