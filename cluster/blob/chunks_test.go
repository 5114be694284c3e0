package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A fleet is nodes that answer Proto, each over real connections, and some that are older.
type fleet struct {
	*holders
	t       *testing.T
	mu      sync.Mutex
	serving map[spec.NodeID]string
	sent    map[spec.NodeID]*Metrics
}

func newFleet(t *testing.T) *fleet {
	return &fleet{holders: newHolders(t), t: t, serving: map[spec.NodeID]string{}, sent: map[spec.NodeID]*Metrics{}}
}

// serve has a node answer Proto with what src has.
func (f *fleet) serve(id spec.NodeID, src Source, models ...*wire.Model) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	m := NewMetrics(prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		NewServer(src, func(name string) (*wire.Model, bool) {
			at := slices.IndexFunc(models, func(m *wire.Model) bool { return m.Name == name })
			if at < 0 {
				return nil, false
			}
			return models[at], true
		}, m).Serve(ctx, l)
	})
	f.t.Cleanup(func() { cancel(); all.Wait() })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = append(f.ids, id)
	f.serving[id], f.sent[id] = l.Addr().String(), m
}

func (f *fleet) dial(ctx context.Context, id spec.NodeID) (net.Conn, error) {
	f.mu.Lock()
	at, ok := f.serving[id]
	f.mu.Unlock()
	if _, older := f.at[string(id)+":80"]; !ok && older {
		return nil, fmt.Errorf("%w, in a test", ErrOlder)
	}
	if !ok {
		return nil, errors.New("no such node")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", at)
}

func (f *fleet) gave(id spec.NodeID) int {
	return int(counted(f.t, f.sent[id].bytes.WithLabelValues("out", PeerNode)))
}

// TestChunksComeInAStream has one holder of each bad kind first.
func TestChunksComeInAStream(t *testing.T) {
	m, raw := model("small", 12)
	other, _ := model("small", 11)
	spoilt := bytes.Clone(raw)
	for i := range m.Chunks {
		spoilt[i*testChunk+9] ^= 1
	}
	rotten := newMemory()
	rotten.whole[string(m.Digest)] = spoilt
	f := newFleet(t)
	f.add("dead", nil)
	f.serve("lacks-it", newMemory(), m)
	f.serve("knows-not", newMemory(raw))
	f.serve("renamed", newMemory(raw), other)
	f.serve("rotten", rotten, m)
	f.serve("good", newMemory(raw), m)
	f.add("older", Handler(newMemory(raw), knows(m), nil))
	store := newMemory()
	seen := NewMetrics(prometheus.NewRegistry())
	fetcher := NewFetcher(f, store, f.list, Options{Dial: f.dial, Metrics: seen})
	if _, err := fetcher.Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(store.whole[string(m.Digest)], raw) {
		t.Error("what came is another")
	}
	if f.gave("good")+int(f.asked["older"].Load())*testChunk < len(raw)-testChunk {
		t.Errorf("the good ones gave %d bytes and %d chunks", f.gave("good"), f.asked["older"].Load())
	}
	if n := f.gave("rotten"); n > streams*testChunk {
		t.Errorf("the rotten one was asked on: it gave %d bytes", n)
	}
	if in := counted(t, seen.bytes.WithLabelValues("in", PeerNode)); int(in) < len(raw) {
		t.Errorf("%v bytes are counted", in)
	}
}

// TestOlderNodesAreAskedByHTTP: they do not serve the protocol, and all is there.
func TestOlderNodesAreAskedByHTTP(t *testing.T) {
	m, raw := model("small", 7)
	f := newFleet(t)
	f.add("older", Handler(newMemory(raw), knows(m), nil))
	store := newMemory()
	if _, err := NewFetcher(f, store, f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if n := f.asked["older"].Load(); n != 7 {
		t.Errorf("7 chunks were asked for %d times", n)
	}
}

// TestWhoFetchesGives: one node has all and is slow; the other has the second half alone,
// being on its way. Both halves come, and the part from who has it.
func TestWhoFetchesGives(t *testing.T) {
	m, raw := model("small", 20)
	f := newFleet(t)
	half := newMemory()
	half.partial[string(m.Digest)] = make([][]byte, 20)
	for i := 10; i < 20; i++ {
		half.partial[string(m.Digest)][i] = raw[i*testChunk : min((i+1)*testChunk, len(raw))]
	}
	f.serve("half", half, m)
	if _, err := NewFetcher(f, newMemory(), f.list, Options{Dial: f.dial}).Fetch(deadline(t, 2*time.Second), m, nil); err == nil {
		t.Fatal("ten chunks became twenty")
	}
	f.serve("whole", newMemory(raw), m)
	store := newMemory()
	if _, err := NewFetcher(f, store, f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(store.whole[string(m.Digest)], raw) {
		t.Error("what came is another")
	}
	if f.gave("half") == 0 {
		t.Error("who has a part gave nothing")
	}
}

// TestASwarmEnds: many begin at once, and the one that has it is not all that gives.
func TestASwarmEnds(t *testing.T) {
	m, raw := model("small", 60)
	f := newFleet(t)
	pace := &Pace{} // so that they have something to give each other meanwhile
	pace.Set(40 * testChunk)
	f.serve("source", newMemory(raw), m)
	stores := make([]*memory, 3)
	for i := range stores {
		stores[i] = newMemory()
		f.serve(spec.NodeID(fmt.Sprint("n", i)), stores[i], m)
	}
	var all sync.WaitGroup
	for i, store := range stores {
		own := spec.NodeID(fmt.Sprint("n", i))
		others := slices.DeleteFunc(slices.Clone(f.ids), func(id spec.NodeID) bool { return id == own })
		all.Go(func() {
			if _, err := NewFetcher(f, store, func() []spec.NodeID { return others }, Options{Dial: f.dial, Pace: pace}).Fetch(t.Context(), m, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, s := range stores {
		if !bytes.Equal(s.whole[string(m.Digest)], raw) {
			t.Error("what came is another")
		}
	}
	if n := f.gave("source"); n >= 3*len(raw) {
		t.Errorf("the source gave all %d bytes", n)
	}
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestAHolderThatSaysNoSenseIsLeft: what it sends is no answer, or none at all.
func TestAHolderThatSaysNoSenseIsLeft(t *testing.T) {
	m, raw := model("small", 5)
	for name, say := range map[string]string{"nonsense": strings.Repeat("x", 4000), "nothing": "", "too much": "\x00\xff\xff\xff\xff"} {
		f := newFleet(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, say)
				c.Close()
			}
		})
		f.ids, f.serving["odd"] = append(f.ids, "odd"), l.Addr().String()
		f.serve("good", newMemory(raw), m)
		if _, err := NewFetcher(f, newMemory(), f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		l.Close()
		all.Wait()
	}
}

func TestAFullDiskEndsAStream(t *testing.T) {
	m, raw := model("small", 4)
	f := newFleet(t)
	f.serve("n1", newMemory(raw), m)
	store := newMemory()
	store.putErr = errors.New("no space left")
	if _, err := NewFetcher(f, store, f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); !errors.Is(err, store.putErr) || !strings.Contains(err.Error(), "keep chunk") {
		t.Errorf("got %v", err)
	}
}

// TestChooseTakesWhatCanBeHad draws holders: a choice is of a chunk that is missing, from
// one that has it and is as little busy as any that could give something.
func TestChooseTakesWhatCanBeHad(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(r, "chunks")
		var holders []*holder
		for range rapid.IntRange(0, 5).Draw(r, "holders") {
			h := &holder{busy: rapid.IntRange(0, 3).Draw(r, "busy")}
			switch rapid.IntRange(0, 3).Draw(r, "kind") {
			case 0:
				h.plain = true
			case 1:
				h.failed = errPart
				h.plain = rapid.Bool().Draw(r, "older")
			case 2:
				h.chunks = rapid.SliceOfN(rapid.Bool(), n, n).Draw(r, "has")
			}
			holders = append(holders, h)
		}
		missing := rapid.SliceOfDistinct(rapid.IntRange(0, n-1), func(i int) int { return i }).Draw(r, "missing")
		got, at := choose(holders, missing)
		var could []*holder
		for _, h := range holders {
			if h.gives() && slices.ContainsFunc(missing, h.has) {
				could = append(could, h)
			}
		}
		if (got != nil) != (len(could) > 0) {
			r.Fatalf("chose %v of %d", got, len(could))
		}
		if got == nil {
			return
		}
		if !got.has(missing[at]) {
			r.Fatal("it does not have the chunk")
		}
		for _, h := range could {
			if h.busy < got.busy || h.busy == got.busy && got.whole() && !h.whole() {
				r.Fatalf("%+v is better than %+v", h, got)
			}
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	m, _ := model("small", 3)
	f.Add(request{askChunk, 2, m.Digest, "small"}.append(nil))
	f.Add([]byte{3})
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := readRequest(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if again := q.append(nil); !bytes.Equal(again, raw[:len(again)]) {
			t.Fatalf("%x was read as %+v", raw, q)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(appendAnswer(nil, saidYes, 7), 7)
	f.Add(append(appendAnswer(nil, saidNo, 3), "why"...), 7)
	f.Fuzz(func(t *testing.T, raw []byte, want int) {
		err := readAnswer(bytes.NewReader(raw), want)
		if err == nil && (raw[0] != saidYes || want < 0) {
			t.Fatalf("%x is %d bytes", raw, want)
		}
	})
}

func TestBitmap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		have := rapid.SliceOf(rapid.Bool()).Draw(r, "have")
		if got := unmap(bitmap(have), len(have)); !slices.Equal(got, have) {
			r.Fatalf("%v became %v", have, got)
		}
	})
}
