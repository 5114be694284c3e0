package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/blob"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage/blobs"
)

// A set of keepers that reach each other, each with a view of its own.
type set struct {
	t     *testing.T
	mu    sync.Mutex
	at    map[string]string
	views map[spec.NodeID]View
	disk  map[spec.NodeID]int64
	all   map[spec.NodeID]*Keeper
	store map[spec.NodeID]*blobs.Store
}

func newSet(t *testing.T, ids ...spec.NodeID) *set {
	s := &set{t: t, at: map[string]string{}, views: map[spec.NodeID]View{}, disk: map[spec.NodeID]int64{}, all: map[spec.NodeID]*Keeper{}, store: map[spec.NodeID]*blobs.Store{}}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		s.mu.Lock()
		at, ok := s.at[host]
		s.mu.Unlock()
		if !ok {
			return nil, errors.New("no such node")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", at)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	for _, id := range ids {
		store, err := blobs.Open(filepath.Join(t.TempDir(), string(id)))
		if err != nil {
			t.Fatal(err)
		}
		k := New(Config{
			Self: id, Store: store, Client: &http.Client{Transport: transport}, Log: slog.New(slog.DiscardHandler),
			Fetcher: blob.NewFetcher(port{transport}, store, func() []spec.NodeID { return nil }),
			View:    func() View { s.mu.Lock(); defer s.mu.Unlock(); return s.views[id] },
			Options: func() Options {
				s.mu.Lock()
				defer s.mu.Unlock()
				return Options{Disk: s.disk[id], Grace: time.Nanosecond}
			},
			Others: func() []spec.NodeID {
				return slices.DeleteFunc(slices.Clone(ids), func(other spec.NodeID) bool { return other == id })
			},
		})
		server := httptest.NewServer(k.Handler(func(*http.Request) error { return nil }))
		t.Cleanup(server.Close)
		s.at[string(id)], s.all[id], s.store[id] = server.Listener.Addr().String(), k, store
	}
	return s
}

type port struct{ *http.Transport }

func (p port) Client(string) *http.Client { return &http.Client{Transport: p.Transport} }

func (s *set) see(id spec.NodeID, v View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Self, v.Fresh = id, true
	s.views[id] = v
}

func (s *set) limit(id spec.NodeID, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk[id] = bytes
}

func (s *set) give(id spec.NodeID, name string) *wire.Model {
	s.t.Helper()
	content := append([]byte("GGUF\x03\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte(name), 4000)...)
	m, err := s.store[id].Import(name, bytes.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *set) collect(id spec.NodeID) {
	s.t.Helper()
	if _, err := s.all[id].Collect(s.t.Context(), false); err != nil {
		s.t.Error(err)
	}
}

// TestTwoDoNotGiveUpTheLastCopies: each of two nodes, over its limit, takes the other for
// the one that is to keep the model; who is asked to keep it knows better, or keeps it.
func TestTwoDoNotGiveUpTheLastCopies(t *testing.T) {
	s := newSet(t, "n1", "n2")
	m := s.give("n1", "m")
	s.give("n2", "m")
	v := View{Copies: 1, Models: []*wire.Model{m}, Placed: map[string][]spec.NodeID{}}
	first, second := v, v
	first.Keepers, second.Keepers = []spec.NodeID{"n2"}, []spec.NodeID{"n1"}
	s.see("n1", first) // to which n2 is the only home
	s.see("n2", second)
	s.limit("n1", 1)
	s.limit("n2", 1)
	var all sync.WaitGroup
	for _, id := range []spec.NodeID{"n1", "n2"} {
		all.Go(func() { s.collect(id) })
	}
	all.Wait()
	if !s.store["n1"].Has(m.GetDigest()) || !s.store["n2"].Has(m.GetDigest()) {
		t.Error("a copy went although its home did not promise to keep its own")
	}

	s.see("n2", first) // they agree: n2 is the home
	s.collect("n1")
	if s.store["n1"].Has(m.GetDigest()) || !s.store["n2"].Has(m.GetDigest()) {
		t.Error("the spare copy stays, or the other went")
	}
	s.see("n2", second) // which has promised, and sees it otherwise now
	s.give("n1", "m")
	s.see("n1", second)
	s.collect("n2")
	if !s.store["n2"].Has(m.GetDigest()) {
		t.Error("a promise was broken")
	}
}

// TestDiskPressureFreesWhatOthersKeep: the least recently used goes, until there is room.
func TestDiskPressureFreesWhatOthersKeep(t *testing.T) {
	s := newSet(t, "n1", "n2")
	v := View{Copies: 1, Keepers: []spec.NodeID{"n1", "n2"}, Placed: map[string][]spec.NodeID{}}
	var each int64
	for i := range 3 {
		name := fmt.Sprint("m", i)
		m := s.give("n1", name)
		s.give("n2", name)
		v.Models, v.Placed[name] = append(v.Models, m), []spec.NodeID{"n2"}
		if _, err := s.store["n1"].Verified(t.Context(), m.GetDigest(), m); err != nil { // it is used, one after the other
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // file systems' times are not exact
	}
	held, err := s.store["n1"].List()
	if err != nil {
		t.Fatal(err)
	}
	each = held[0].Bytes
	s.see("n1", v)
	s.see("n2", v)
	s.limit("n1", 2*each)
	s.collect("n1")
	for i, m := range v.Models {
		if got, want := s.store["n1"].Has(m.GetDigest()), i > 0; got != want || !s.store["n2"].Has(m.GetDigest()) {
			t.Errorf("model %d: kept %v", i, got)
		}
	}
}

// TestAPartStaysWhileItMayBeTheLast: nobody has the whole.
func TestAPartStaysWhileItMayBeTheLast(t *testing.T) {
	s := newSet(t, "n1", "n2")
	m := s.give("n1", "m")
	if err := s.store["n1"].Demote(m, []int{0}); err != nil {
		t.Fatal(err)
	}
	v := View{Copies: 1, Keepers: []spec.NodeID{"n2"}, Models: []*wire.Model{m}, Placed: map[string][]spec.NodeID{}}
	s.see("n1", v)
	s.see("n2", v)
	parts := func() (n int) {
		held, err := s.store["n1"].List()
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range held {
			if h.Kind == blobs.Partial {
				n++
			}
		}
		return n
	}
	time.Sleep(time.Millisecond) // the grace
	if s.collect("n1"); parts() == 0 {
		t.Error("what may be the last part went")
	}
	s.give("n2", "m")
	if s.collect("n1"); parts() != 0 {
		t.Error("the part stays though the whole is at its home")
	}
}

// TestWhatIsBeingImportedStays: the state does not know it yet.
func TestWhatIsBeingImportedStays(t *testing.T) {
	s := newSet(t, "n1")
	s.see("n1", View{Placed: map[string][]spec.NodeID{}})
	done := s.all["n1"].Hold()
	m := s.give("n1", "m")
	time.Sleep(time.Millisecond)
	if s.collect("n1"); !s.store["n1"].Has(m.GetDigest()) {
		t.Error("it went before it was known")
	}
	done()
	if s.collect("n1"); s.store["n1"].Has(m.GetDigest()) {
		t.Error("what nobody knows stays")
	}
}
