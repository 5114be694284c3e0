package feed

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// slow is a state that applies nothing until it is released.
type slow struct {
	*memory
	release chan struct{}
	mu      struct {
		sync.Mutex
		began bool
	}
}

func (s *slow) began() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.began
}

func (s *slow) ApplyEntry(e *wire.Entry) (*wire.Result, error) {
	s.mu.Lock()
	s.mu.began = true
	s.mu.Unlock()
	<-s.release
	return s.memory.ApplyEntry(e)
}

// written collects a log.
type written struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.Write(b)
}

func (w *written) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.String()
}

// TestOlderFollowerIsTold why it is disconnected, whether the state is beyond it
// when it comes or an entry is that comes later. It applies nothing of it, says so
// loudly once, and is of use again when its build is newer.
func TestOlderFollowerIsTold(t *testing.T) {
	t.Parallel()
	h, from, to := newHub(t), newMemory(100), newMemory(100)
	from.put("a", "1", 0)
	h.serve(t, "n1", Handler(from))
	log := &written{}
	f := Follow(Config{Port: h, Voters: func() []spec.NodeID { return []spec.NodeID{"n1"} }, Store: to, Level: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
	f.Start()
	eventually(t, 30*time.Second, "it follows", func() bool { return to.Index() == 1 && f.Age() < time.Second && f.Trouble() == nil })
	from.need(3)
	refused := func() bool { return errors.Is(f.Trouble(), ErrRefused) }
	eventually(t, 30*time.Second, "it is disconnected", refused)
	for _, want := range []string{"needs feature level 3", "has level 1", "upgrade"} {
		if !strings.Contains(f.Trouble().Error(), want) {
			t.Errorf("it is told %q, without %q", f.Trouble(), want)
		}
	}
	time.Sleep(10 * firstPause) // it has tried again
	if !refused() || to.Index() != 1 {
		t.Errorf("index %d, trouble %v", to.Index(), f.Trouble())
	}
	if n := strings.Count(log.text(), "level=ERROR"); n != 1 {
		t.Errorf("said loudly %d times: %s", n, log.text())
	}
	shutdown(t, f)
	newer := Follow(Config{Port: h, Voters: func() []spec.NodeID { return []spec.NodeID{"n1"} }, Store: to, Level: 3})
	newer.Start()
	defer shutdown(t, newer)
	eventually(t, 30*time.Second, "a newer build goes on", func() bool { return to.Index() == 2 })
	if restored, applied := to.counts(); restored != 0 || !slices.Equal(applied, []uint64{1, 2}) {
		t.Errorf("restored %d times, applied %v", restored, applied)
	}
}

// tooOld is a state that cannot apply what comes.
type tooOld struct{ *memory }

var errTooOld = errors.New("this build cannot apply the entry: upgrade this node")

func (tooOld) ApplyEntry(*wire.Entry) (*wire.Result, error) { return nil, errTooOld }

// TestEntryThatCannotBeApplied is told by the node itself, where its server does
// not know.
func TestEntryThatCannotBeApplied(t *testing.T) {
	t.Parallel()
	h, from := newHub(t), newMemory(100)
	from.put("a", "1", 0)
	h.serve(t, "n1", Handler(from))
	log := &written{}
	f := Follow(Config{Port: h, Voters: func() []spec.NodeID { return []spec.NodeID{"n1"} }, Store: tooOld{newMemory(1)}, Level: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
	f.Start()
	defer shutdown(t, f)
	eventually(t, 30*time.Second, "it has trouble", func() bool { return errors.Is(f.Trouble(), errTooOld) })
	eventually(t, 30*time.Second, "its log names the entry", func() bool {
		return strings.Contains(log.text(), "level=ERROR") && strings.Contains(log.text(), "entry 1")
	})
}

// TestDamageIsNamed: what was damaged, and where.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	good, _ := appendFrame(nil, kindHeartbeat, beat{index: 0}.encode())
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	begin, _ := appendFrame(nil, kindSnapshot, nil)
	noise, _ := appendFrame(nil, kindPart, []byte("noise"))
	end, _ := appendFrame(nil, kindEnd, nil)
	for name, c := range map[string]struct {
		sent []byte
		want []string
	}{
		"a damaged frame":    {slices.Concat(good, bad), []string{"damaged frame", "checksum", "frame 1, at byte 33"}},
		"a damaged part":     {slices.Concat(good, begin, bad), []string{"snapshot", "damaged frame", "checksum", "frame 2, at byte 42"}},
		"a damaged snapshot": {slices.Concat(begin, noise, end), []string{"restoring a snapshot, at byte 5 of it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, to := newHub(t), newMemory(10)
			h.serve(t, "n1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.sent) }))
			f := h.follow(t, to, "n1")
			eventually(t, 30*time.Second, "it is told", func() bool {
				err := f.Trouble()
				return err != nil && !slices.ContainsFunc(c.want, func(part string) bool { return !strings.Contains(err.Error(), part) })
			})
			if restored, applied := to.counts(); restored != 0 || len(applied) != 0 {
				t.Errorf("restored %d times, applied %v", restored, applied)
			}
		})
	}
}

// TestAheadOfTheServer: a follower that has more than its server gets nothing
// twice, is as old as the server says, and goes on once the server has caught up.
func TestAheadOfTheServer(t *testing.T) {
	t.Parallel()
	h, from, to := newHub(t), newMemory(100), newMemory(100)
	for i, m := range []*memory{from, to, to, to} {
		m.put("a", strings.Repeat("x", i), 0)
	}
	h.serve(t, "n1", Handler(from, WithAge(func() time.Duration { return 2 * time.Second })))
	f := h.follow(t, to, "n1")
	eventually(t, 30*time.Second, "it follows", func() bool { return f.Age() != Unknown })
	if age := f.Age(); age < 2*time.Second || f.Trouble() != nil {
		t.Errorf("age %s, trouble %v", age, f.Trouble())
	}
	for range 3 {
		from.put("a", "later", 0)
	}
	eventually(t, 30*time.Second, "it goes on", func() bool { return to.Index() == 4 })
	if restored, applied := to.counts(); restored != 0 || !slices.Equal(applied, []uint64{4}) {
		t.Errorf("restored %d times, applied %v", restored, applied)
	}
}

// TestFollowersAreBounded: one too many is told so, and another may take the place
// of one that has left.
func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	h, from := newHub(t), newMemory(10)
	handler := Handler(from).(*server)
	handler.followers = 1
	h.serve(t, "n1", handler)
	first := h.follow(t, newMemory(1), "n1")
	eventually(t, 30*time.Second, "one follows", func() bool { return first.Age() < time.Second })
	second := h.follow(t, newMemory(1), "n1")
	eventually(t, 30*time.Second, "the other is told", func() bool {
		return second.Trouble() != nil && strings.Contains(second.Trouble().Error(), "feeds 1 followers, and takes no more")
	})
	shutdown(t, first)
	eventually(t, 30*time.Second, "the other follows", func() bool { return second.Age() < time.Second && second.Trouble() == nil })
}

func TestBadRequests(t *testing.T) {
	for query, want := range map[string]int{
		"from=-1&level=1&format=2": http.StatusBadRequest, "from=1&level=x&format=2": http.StatusBadRequest,
		"from=1&level=1&format=3": http.StatusConflict, "from=1": http.StatusConflict,
	} {
		w := httptest.NewRecorder()
		Handler(newMemory(1)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/feed?"+query, nil))
		if text, _ := io.ReadAll(w.Body); w.Code != want || len(text) == 0 {
			t.Errorf("%s: status %d, %q", query, w.Code, text)
		}
	}
}

// TestFramesAreMadeOnce, and few are kept.
func TestFramesAreMadeOnce(t *testing.T) {
	f := &frames{}
	e := &wire.Entry{Index: 1, Command: []byte("one")}
	first, err := f.of(e)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := f.of(e); &again[0] != &first[0] {
		t.Error("the frame was made twice")
	}
	for i := range 3 * keptFrames {
		if _, err := f.of(&wire.Entry{Index: uint64(i), Command: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if _, err := f.of(&wire.Entry{Index: uint64(i), Command: make([]byte, keptFrameBytes)}); err != nil {
			t.Fatal(err)
		}
		if len(f.mu.made) != 1 || len(f.mu.order) != 1 || f.mu.bytes > 2*keptFrameBytes {
			t.Errorf("%d frames are kept, of %d bytes", len(f.mu.made), f.mu.bytes)
		}
	}
	if _, err := f.of(&wire.Entry{Command: make([]byte, maxEntry)}); err == nil {
		t.Error("a frame over the limit was made")
	}
}
