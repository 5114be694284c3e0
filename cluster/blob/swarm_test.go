package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// part is a store that has the chunks of raw from one on, up to another.
func part(m *wire.Model, raw []byte, from, to int) *memory {
	s := newMemory()
	s.partial[string(m.Digest)] = parts(m, raw, from, to)
	return s
}

func parts(m *wire.Model, raw []byte, from, to int) [][]byte {
	out := make([][]byte, len(m.Chunks))
	for i := from; i < to; i++ {
		out[i] = raw[i*testChunk : min((i+1)*testChunk, len(raw))]
	}
	return out
}

// TestTheSourceIsFoundAmongBeginners: many have nothing yet, and come first.
func TestTheSourceIsFoundAmongBeginners(t *testing.T) {
	m, raw := model("small", 6)
	f := newFleet(t)
	for i := range 2*scouts + enough {
		f.serve(spec.NodeID(fmt.Sprint("n", i)), part(m, raw, 0, i%3), m) // none has more than the first two
	}
	f.serve("source", newMemory(raw), m)
	if _, err := NewFetcher(f, newMemory(), f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
}

// curt ends each connection after a few answers.
type curt struct {
	net.Listener
	serve   *Server
	answers int
	all     sync.WaitGroup
	refuse  atomic.Int32 // connections that get no answer at all
}

func (l *curt) run() {
	for {
		c, err := l.Accept()
		if err != nil {
			l.all.Wait()
			return
		}
		l.all.Go(func() {
			defer c.Close()
			if l.refuse.Add(-1) >= 0 {
				return
			}
			for range l.answers {
				if l.serve.one(c) != nil {
					return
				}
			}
		})
	}
}

func (f *fleet) curtly(id spec.NodeID, refuse int32, src Source, m *wire.Model) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	c := &curt{Listener: l, serve: NewServer(src, knows(m), nil), answers: 1}
	c.refuse.Store(refuse)
	var all sync.WaitGroup
	all.Go(c.run)
	f.t.Cleanup(func() { l.Close(); all.Wait() })
	f.ids, f.serving[id] = append(f.ids, id), l.Addr().String()
}

// TestALinkThatEndedWhileItWasIdleIsNoFailure, nor is one that was too many.
func TestALinkThatEndedWhileItWasIdleIsNoFailure(t *testing.T) {
	m, raw := model("small", 12)
	for _, refuse := range []int32{0, 2} {
		f := newFleet(t)
		f.curtly("only", refuse, newMemory(raw), m)
		if _, err := NewFetcher(f, newMemory(), f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
			t.Errorf("%d connections refused: %v", refuse, err)
		}
	}
}

// TestAStateThatLagsIsAskedAgain: the holder learns of the model after it was asked.
func TestAStateThatLagsIsAskedAgain(t *testing.T) {
	m, raw := model("small", 12)
	f := newFleet(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		NewServer(newMemory(raw), func(string) (*wire.Model, bool) { return m, asked.Add(1) > 1 }, nil).Serve(ctx, l)
	})
	t.Cleanup(func() { cancel(); all.Wait() })
	f.ids, f.serving["lags"] = append(f.ids, "lags"), l.Addr().String()
	if _, err := NewFetcher(f, part(m, raw, 0, 1), f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
}

// TestPartsThatAreTheWholeMeet: the other one begins a little later.
func TestPartsThatAreTheWholeMeet(t *testing.T) {
	m, raw := model("small", 12)
	f := newFleet(t)
	late := newMemory()
	f.serve("late", late, m)
	var all sync.WaitGroup
	all.Go(func() {
		time.Sleep(300 * time.Millisecond)
		late.mu.Lock()
		defer late.mu.Unlock()
		late.partial[string(m.Digest)] = parts(m, raw, 6, 12)
	})
	defer all.Wait()
	if _, err := NewFetcher(f, part(m, raw, 0, 6), f.list, Options{Dial: f.dial}).Fetch(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
}

// TestWhoTellsOfWhatItLacksGivesHopeOnce, whether it tells of it again and again or now and then.
func TestWhoTellsOfWhatItLacksGivesHopeOnce(t *testing.T) {
	h, came := &holder{}, make([]bool, 2)
	if !h.hear([]bool{true, false}, came) || !h.helps {
		t.Error("what is new gave no hope")
	}
	h.lost(0, &refusal{saidLacks, "not here"})
	if h.hear([]bool{true, false}, came) {
		t.Error("what was lacking gave hope again")
	}
	if h.hear([]bool{false, false}, came) || h.helps || h.hear([]bool{true, false}, came) || !h.hear([]bool{true, true}, came) {
		t.Error("hope where nothing is new, or none where there is")
	}
	if came[0] = true; h.hear([]bool{true, false}, came) || h.helps {
		t.Error("it helps with what is here")
	}
}

// TestAHolderThatDripsIsLeft when the time for a chunk is over.
func TestAHolderThatDripsIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := model("small", 2)
		here, there := net.Pipe()
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() {
			if _, err := readRequest(there); err != nil {
				return
			}
			_, err := there.Write(appendAnswer(nil, saidYes, testChunk))
			for err == nil {
				time.Sleep(comeWithin / 2)
				_, err = there.Write([]byte{0})
			}
		})
		l := newLink(t.Context(), here, nil)
		defer l.close()
		began := time.Now()
		err := l.chunk(m, 0, false, &writer{s: part(m, nil, 0, 0), m: m})
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > chunkTimeout+time.Second {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

// A forgetful store finds one chunk wrong after it came.
type forgetful struct{ *memory }

type forgets struct {
	*writer
	forgot *atomic.Bool
}

func (s forgetful) Writer(m *wire.Model) (forgets, error) {
	w, err := s.memory.Writer(m)
	return forgets{w, new(atomic.Bool)}, err
}

func (w forgets) PutChunk(i int, b []byte) error {
	if i == 1 && !w.forgot.Swap(true) {
		return nil
	}
	return w.writer.PutChunk(i, b)
}

func TestWhatTurnsOutWrongIsFetchedAgain(t *testing.T) {
	m, raw := model("small", 5)
	h := newHolders(t)
	h.add("n1", Handler(newMemory(raw), knows(m), nil))
	store := forgetful{newMemory()}
	if _, err := NewFetcher(h, store, h.list).Fetch(t.Context(), m, nil); err != nil || !bytes.Equal(store.whole[string(m.Digest)], raw) {
		t.Errorf("got %v, or another", err)
	}
}
