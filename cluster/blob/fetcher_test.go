package blob

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestTheChunksComeFromWhoeverHasThem has one holder of each bad kind first.
func TestTheChunksComeFromWhoeverHasThem(t *testing.T) {
	m, raw := model("small", 12)
	h := newHolders(t)
	h.add("dead", nil)
	h.add("lacks-it", Handler(newMemory(), knows(m), nil))
	h.add("damaged", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, testChunk)) }))
	h.add("endless", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, testChunk)); err != nil {
				return
			}
		}
	}))
	other, _ := model("small", 11)
	h.add("renamed", Handler(newMemory(raw), knows(other), nil))
	h.add("good", Handler(newMemory(raw), knows(m), nil))
	h.add("good-too", Handler(newMemory(raw), knows(m), nil))
	store := newMemory()
	var told atomic.Int32
	f := NewFetcher(h, store, h.list, Options{Progress: func(_ *wire.Model, have, total int) {
		if have < 1 || have > total || total != 12 {
			t.Errorf("told of %d of %d", have, total)
		}
		told.Add(1)
	}})
	path, err := f.Fetch(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := store.Path(m.Digest); path != want || !bytes.Equal(store.whole[string(m.Digest)], raw) {
		t.Errorf("got %s, want %s", path, want)
	}
	if told.Load() != 12 {
		t.Errorf("progress was told %d times", told.Load())
	}
	for _, bad := range []spec.NodeID{"lacks-it", "damaged", "endless", "renamed"} {
		if n := h.asked[bad].Load(); n < 1 || n > streams {
			t.Errorf("%s was asked %d times", bad, n)
		}
	}
	if h.asked["good"].Load()+h.asked["good-too"].Load() != 12 {
		t.Errorf("the good ones were asked %d and %d times", h.asked["good"].Load(), h.asked["good-too"].Load())
	}
	before := h.asked["good"].Load()
	if _, err := f.Fetch(t.Context(), m, nil); err != nil || h.asked["good"].Load() != before {
		t.Errorf("what is here was fetched again, or %v", err)
	}
}

func TestNobodyHasIt(t *testing.T) {
	m, _ := model("small", 3)
	h := newHolders(t)
	store := newMemory()
	if _, err := NewFetcher(h, store, h.list).Fetch(t.Context(), m, nil); spec.CodeOf(err) != spec.CodeNotReady {
		t.Errorf("without holders: %v", err)
	}
	h.add("n7", nil)
	h.add("n8", Handler(newMemory(), knows(m), nil))
	_, err := NewFetcher(h, store, h.list).Fetch(t.Context(), m, nil)
	if spec.CodeOf(err) != spec.CodeNotReady || !strings.Contains(err.Error(), "n7") || !strings.Contains(err.Error(), "n8") {
		t.Errorf("got %v", err)
	}
	if !store.idle() {
		t.Error("the writer is still open")
	}
}

// TestItGoesOnWhereItStopped fails half way, and asks for the rest alone.
func TestItGoesOnWhereItStopped(t *testing.T) {
	m, raw := model("small", 10)
	h := newHolders(t)
	good := Handler(newMemory(raw), knows(m), nil)
	var broken atomic.Bool
	broken.Store(true)
	h.add("n1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := h.asked["n1"].Load(); n > 5 && broken.Load() {
			panic(http.ErrAbortHandler)
		}
		good.ServeHTTP(w, r)
	}))
	store := newMemory()
	f := NewFetcher(h, store, h.list)
	if _, err := f.Fetch(t.Context(), m, nil); spec.CodeOf(err) != spec.CodeNotReady || !strings.Contains(err.Error(), "of 10 chunks are here") {
		t.Fatalf("got %v", err)
	}
	missing := len((&writer{s: store, m: m}).Missing())
	if missing > 6 { // what is on its way when another stream fails may be lost
		t.Errorf("%d of 10 are missing after 5 were given", missing)
	}
	broken.Store(false)
	before := int(h.asked["n1"].Load())
	if _, err := f.Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	// A request that the first fetch gave up may arrive only now.
	if n := int(h.asked["n1"].Load()) - before; n < missing || n >= missing+streams {
		t.Errorf("asked %d times for %d chunks", n, missing)
	}
}

func TestAFullDiskIsNobodysFault(t *testing.T) {
	m, raw := model("small", 4)
	h := newHolders(t)
	h.add("n1", Handler(newMemory(raw), knows(m), nil))
	store := newMemory()
	store.putErr = errors.New("no space left")
	_, err := NewFetcher(h, store, h.list).Fetch(t.Context(), m, nil)
	if !errors.Is(err, store.putErr) || h.asked["n1"].Load() > streams {
		t.Errorf("got %v after %d requests", err, h.asked["n1"].Load())
	}
}

// gate is a holder that waits until it is opened.
func gate(serve http.Handler) (http.Handler, chan struct{}, chan struct{}) {
	asked, open := make(chan struct{}), make(chan struct{})
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		select {
		case <-open:
			serve.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}), asked, open
}

// TestCallersShareAFetch has one of them leave, and the rest get the file.
func TestCallersShareAFetch(t *testing.T) {
	m, raw := model("small", 6)
	h := newHolders(t)
	serve, asked, open := gate(Handler(newMemory(raw), knows(m), nil))
	h.add("n1", serve)
	store := newMemory() // fails a second writer
	f := NewFetcher(h, store, h.list)
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := f.Fetch(impatient, m, nil); left <- err }()
	<-asked
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := f.Fetch(t.Context(), m, nil); err != nil {
				t.Error(err)
			}
		})
	}
	within(t, "all are waiting", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.flying[string(m.Digest)].waiting == 9
	})
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left was told %v", err)
	}
	close(open)
	all.Wait()
	if n := h.asked["n1"].Load(); n != 6 {
		t.Errorf("6 chunks were asked for %d times", n)
	}
}

// TestTheLastToLeaveEndsTheFetch, and a later caller begins another.
func TestTheLastToLeaveEndsTheFetch(t *testing.T) {
	m, raw := model("small", 6)
	h := newHolders(t)
	serve, asked, open := gate(Handler(newMemory(raw), knows(m), nil))
	h.add("n1", serve)
	store := newMemory()
	f := NewFetcher(h, store, h.list)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	began := time.Now()
	if _, err := f.Fetch(ctx, m, nil); !errors.Is(err, context.Canceled) || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	if !store.idle() {
		t.Error("the fetch goes on")
	}
	close(open)
	if _, err := f.Fetch(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
}

// TestComingAndGoing has callers leave while others come: whoever stays gets it.
func TestComingAndGoing(t *testing.T) {
	m, raw := model("small", 20)
	h := newHolders(t)
	h.add("n1", Handler(newMemory(raw), knows(m), nil))
	for range 10 {
		store := newMemory()
		f := NewFetcher(h, store, h.list)
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				ctx := t.Context()
				if i%2 == 0 {
					c, cancel := context.WithTimeout(ctx, time.Duration(i)*500*time.Microsecond)
					defer cancel()
					ctx = c
				}
				if _, err := f.Fetch(ctx, m, nil); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if !store.idle() || !store.Has(m.Digest) {
			t.Error("a writer is open, or the file is not there")
		}
	}
}

func TestARecordThatMakesNoSense(t *testing.T) {
	m, raw := model("small", 3)
	m.ChunkSize = 1 << 31
	h := newHolders(t)
	h.add("n1", Handler(newMemory(raw), knows(m), nil))
	if _, err := NewFetcher(h, newMemory(), h.list).Fetch(t.Context(), m, nil); err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("chunks of 2 GiB: %v", err)
	}
	m, _ = model("small", 3)
	m.Digest = slices.Clone(m.Digest)
	m.Digest[0]++
	h = newHolders(t)
	h.add("n1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		good, _ := model("small", 3)
		r.Header.Set(hdrDigest, hexOf(good.Digest))
		Handler(newMemory(raw), knows(good), nil).ServeHTTP(w, r)
	}))
	if _, err := NewFetcher(h, newMemory(), h.list).Fetch(t.Context(), m, nil); spec.CodeOf(err) != spec.CodeModelDamaged {
		t.Errorf("good chunks of a wrong whole: %v", err)
	}
}

func within(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// Whoever waits for a model is told how much of it has come.
func TestThePartThatHasComeIsTold(t *testing.T) {
	m, raw := model("small", 10)
	h, good, seen := newHolders(t), Handler(newMemory(raw), knows(m), nil), make(chan struct{})
	var asked atomic.Int32
	h.add("slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 6 {
			<-seen
		}
		good.ServeHTTP(w, r)
	}))
	var once sync.Once
	_, err := NewFetcher(h, newMemory(), h.list).Fetch(t.Context(), m, func(part float64) {
		if part >= 0.5 && part < 1 {
			once.Do(func() { close(seen) })
		}
	})
	if err != nil {
		t.Error(err)
	}
}
