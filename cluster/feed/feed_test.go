package feed

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func noAge() time.Duration { return 0 }

// TestSnapshotThenEntries: an empty follower gets the state that the window has
// lost, and then each entry as it comes, over indexes that Raft kept to itself.
func TestSnapshotThenEntries(t *testing.T) {
	t.Parallel()
	h, from, to := newHub(t), newMemory(25), newMemory(25)
	from.d.Padding = make([]byte, 5*maxPart/2)
	for i := range 30 {
		from.put(fmt.Sprint("before", i), "1", 0)
	}
	h.serve(t, "n1", Handler(from, WithAge(noAge)))
	f := h.follow(t, to, "n1")
	eventually(t, 30*time.Second, "it has the snapshot", func() bool { return to.Index() == from.Index() })
	var want []uint64
	for i := range 20 {
		want = append(want, from.put(fmt.Sprint("after", i), "1", uint64(i%3)))
	}
	eventually(t, 30*time.Second, "it has the entries", func() bool { return to.Index() == from.Index() && f.Age() < time.Second })
	restored, applied := to.counts()
	if restored != 1 || !slices.Equal(applied, want) || to.get("before0") != "1" || to.get("after19") != "1" || len(to.d.Padding) != len(from.d.Padding) {
		t.Errorf("restored %d times, then applied %v, want %v", restored, applied, want)
	}
}

// TestResumesElsewhere: at another server it goes on from where it is, without a
// snapshot, even where that one lags behind at first.
func TestResumesElsewhere(t *testing.T) {
	t.Parallel()
	h, to := newHub(t), newMemory(100)
	a, b := newMemory(100), newMemory(100)
	both := func(name string) { a.put(name, "1", 0); b.put(name, "1", 0) }
	both("first")
	stop := h.serve(t, "a", Handler(a, WithAge(noAge)))
	f := h.follow(t, to, "a", "b") // b is not there yet
	eventually(t, 30*time.Second, "it follows a", func() bool { return to.Index() == 1 && f.Age() < time.Second })
	a.put("second", "1", 0) // b has not got it yet
	eventually(t, 30*time.Second, "it has the second", func() bool { return to.Index() == 2 })
	h.serve(t, "b", Handler(b, WithAge(noAge)))
	stop()
	time.Sleep(20 * time.Millisecond)
	b.put("second", "1", 0)
	b.put("third", "1", 0)
	eventually(t, 30*time.Second, "it goes on at b", func() bool { return to.get("third") == "1" })
	if restored, applied := to.counts(); restored != 0 || !slices.Equal(applied, []uint64{1, 2, 3}) {
		t.Errorf("restored %d times, applied %v", restored, applied)
	}
}

// TestAgeGrowsWhenCutOff and becomes small again.
func TestAgeGrowsWhenCutOff(t *testing.T) {
	t.Parallel()
	h, from, to := newHub(t), newMemory(100), newMemory(100)
	from.put("a", "1", 0)
	f := Follow(Config{Port: h, Voters: func() []spec.NodeID { return []spec.NodeID{"n1"} }, Store: to})
	if f.Age() != Unknown {
		t.Errorf("age %s before anything was heard", f.Age())
	}
	var asked atomic.Int32
	inner := Handler(from, WithAge(noAge))
	stop := h.serve(t, "n1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		inner.ServeHTTP(w, r)
	}))
	f.Start()
	defer shutdown(t, f)
	eventually(t, 30*time.Second, "it is current", func() bool { return f.Age() < 700*time.Millisecond })
	time.Sleep(silence + beatEvery)
	eventually(t, 30*time.Second, "heartbeats keep it current", func() bool { return f.Age() < 700*time.Millisecond })
	if n := asked.Load(); n != 1 {
		t.Errorf("without heartbeats: it has asked %d times", n)
	}
	stop()
	cut := time.Now()
	eventually(t, 30*time.Second, "it ages", func() bool { return f.Age() > time.Second })
	if age, most := f.Age(), time.Since(cut)+beatEvery+10*time.Second; age > most {
		t.Errorf("age %s, at most %s ago it was current", age, most)
	}
	h.serve(t, "n1", Handler(from, WithAge(noAge)))
	eventually(t, 30*time.Second, "it is current again", func() bool { return f.Age() < 700*time.Millisecond })
}

// TestServersAgeCounts: a copy of an old copy is old, and a server with a newer
// one is preferred.
func TestServersAgeCounts(t *testing.T) {
	t.Parallel()
	h, old, to := newHub(t), newMemory(100), newMemory(100)
	old.put("a", "1", 0)
	h.serve(t, "old", Handler(old, WithAge(func() time.Duration { return 4 * time.Second })))
	f := h.follow(t, to, "old")
	eventually(t, 30*time.Second, "it follows the old one, where there is no other", func() bool { return to.Index() == 1 && f.Age() != Unknown })
	if age := f.Age(); age < 4*time.Second {
		t.Errorf("age %s, though its server's is 4 s", age)
	}
	newer := newMemory(100)
	newer.put("a", "1", 0)
	h.serve(t, "new", Handler(newer, WithAge(noAge)))
	both := h.follow(t, newMemory(100), "old", "new")
	eventually(t, 30*time.Second, "it finds the newer one", func() bool { return both.Age() < time.Second })
	h.serve(t, "lost", Handler(old, WithAge(func() time.Duration { return Unknown })))
	lost := newMemory(100)
	g := h.follow(t, lost, "lost")
	eventually(t, 30*time.Second, "it takes what there is", func() bool { return lost.Index() == 1 })
	time.Sleep(20 * time.Millisecond)
	if g.Age() != Unknown {
		t.Errorf("age %s from a server that does not know its own", g.Age())
	}
}

// TestDelayCountsAsAge: a frame that was long on its way says nothing of the present.
func TestDelayCountsAsAge(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.serve(t, "far", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := beat{index: 0, elapsed: 0}.encode() // made at once, and held back
		time.Sleep(1200 * time.Millisecond)
		_ = writeFrame(w, kindHeartbeat, b)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	f := h.follow(t, newMemory(10), "far")
	eventually(t, 30*time.Second, "the frame has come", func() bool { return f.Age() != Unknown })
	if age := f.Age(); age < 1100*time.Millisecond {
		t.Errorf("age %s, the frame was 1.2 s on its way", age)
	}
}

// TestSlowFollowerHoldsNothingUp: what is applied does not wait for a follower
// that reads nothing, and the server drops it in the end.
func TestSlowFollowerHoldsNothingUp(t *testing.T) {
	t.Parallel()
	from := newMemory(64)
	handler := Handler(from, WithAge(noAge)).(*server)
	handler.patience = 3 * time.Second
	var under atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		under.Add(1)
		defer under.Add(-1)
		handler.ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /feed?from=0&level=1&format=2 HTTP/1.1\r\nHost: n1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "it follows", func() bool { return under.Load() == 1 })
	value := strings.Repeat("x", 100<<10)
	var longest time.Duration
	for i := range 400 { // 40 MB, more than any buffer on the way
		began := time.Now()
		from.put(fmt.Sprint(i%10), value, 0)
		longest = max(longest, time.Since(began))
		time.Sleep(time.Millisecond)
	}
	if longest > handler.patience {
		t.Errorf("applying an entry took %s", longest)
	}
	eventually(t, 30*time.Second, "the server has dropped it", func() bool { return under.Load() == 0 })
}

// TestBadServersAreLeft for one that works, whatever they send.
func TestBadServersAreLeft(t *testing.T) {
	t.Parallel()
	good := newMemory(100)
	good.put("a", "1", 0)
	send := func(frames ...func(io.Writer)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, f := range frames {
				f(w)
			}
		}
	}
	frame := func(kind byte, payload string) func(io.Writer) {
		return func(w io.Writer) { _ = writeFrame(w, kind, []byte(payload)) }
	}
	raw := func(s string) func(io.Writer) { return func(w io.Writer) { _, _ = io.WriteString(w, s) } }
	for name, bad := range map[string]http.HandlerFunc{
		"refuses":              func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"noise":                send(raw("no frames at all, but text")),
		"a huge frame":         send(raw("E\xff\xff\xff\xff\x00\x00\x00\x00")),
		"a damaged entry":      send(frame(kindEntry, "\xff\xff")),
		"a short heartbeat":    send(frame(kindHeartbeat, "short")),
		"half a snapshot":      send(frame(kindSnapshot, ""), frame(kindPart, "half")),
		"a broken snapshot":    send(frame(kindSnapshot, ""), frame(kindPart, "noise"), frame(kindEnd, "")),
		"an entry within":      send(frame(kindSnapshot, ""), frame(kindEntry, "")),
		"a part without begin": send(frame(kindPart, "part")),
		"ends at once":         send(),
		"says nothing": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, to := newHub(t), newMemory(100)
			h.serve(t, "bad", bad)
			h.serve(t, "good", Handler(good, WithAge(noAge)))
			var asked atomic.Int32
			f := Follow(Config{Port: h, Store: to, Voters: func() []spec.NodeID {
				if asked.Add(1) == 1 {
					return []spec.NodeID{"bad"}
				}
				return []spec.NodeID{"good"}
			}})
			f.Start()
			defer shutdown(t, f)
			eventually(t, 30*time.Second, "it follows the good one", func() bool { return f.Age() < time.Second })
			if restored, applied := to.counts(); restored != 0 || !slices.Equal(applied, []uint64{1}) {
				t.Errorf("restored %d times, applied %v", restored, applied)
			}
		})
	}
}

// TestEntriesFromElsewhere: what has come by another way is not applied again.
func TestEntriesFromElsewhere(t *testing.T) {
	t.Parallel()
	h, from, to := newHub(t), newMemory(100), newMemory(100)
	release := make(chan struct{})
	inner := Handler(from, WithAge(noAge))
	var asked atomic.Int32
	h.serve(t, "n1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-release
		inner.ServeHTTP(w, r)
	}))
	f := h.follow(t, to, "n1")
	eventually(t, 30*time.Second, "it has asked from 0", func() bool { return asked.Load() == 1 })
	for _, m := range []*memory{from, to} {
		m.put("a", "1", 0)
	}
	from.put("b", "1", 0)
	close(release)
	eventually(t, 30*time.Second, "it is current", func() bool { return to.Index() == 2 && f.Age() < time.Second })
	if _, applied := to.counts(); !slices.Equal(applied, []uint64{2}) || asked.Load() != 1 {
		t.Errorf("applied %v, asked %d times", applied, asked.Load())
	}
}

func TestShutdownWithoutStart(t *testing.T) {
	f := Follow(Config{Port: newHub(t), Store: newMemory(1), Voters: func() []spec.NodeID { return nil }})
	shutdown(t, f)
	f.Start() // too late
	shutdown(t, f)
}
