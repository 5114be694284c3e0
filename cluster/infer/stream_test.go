package infer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestTheCallAndTheAnswerArriveAsTheyWereMade(t *testing.T) {
	sent := spec.Call{RequestID: "r-1", Tenant: "t", Key: "k", Deployment: "d", Version: 7, Regions: []string{"eu", "us"}, Attempt: 2,
		Path: "/v1/chat/completions", Gateway: "a", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", PromptTokens: 99, CachedTokens: 66, Stream: true, Method: "PUT", ContentType: "application/octet-stream", HeadLength: 5, Alone: true}
	target := spec.Target{Node: "b", Device: "gpu/1", Instance: "i1"}
	load := spec.Load{Instance: "i1", Ready: true, Slots: 4, Running: 3, Queued: 2, KVUse: 0.5, BacklogSeconds: 1.5, PrefillTPS: 100, DecodeTPS: 20, Seq: 9}
	r := newRig(t, opener(func(_ context.Context, to spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
		if to != (spec.Target{Device: "gpu/1", Instance: "i1"}) || !reflect.DeepEqual(call, sent) || string(body) != `{"a":1}` {
			t.Errorf("got %+v %+v %q", to, call, body)
		}
		a := whole(strings.NewReader("data: x\n\n"))
		a.status, a.load, a.head = 418, &load, 7
		return a, nil
	}), Config{})
	s, err := r.client.Open(t.Context(), target, sent, []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := io.ReadAll(s)
	if err != nil || string(all) != "data: x\n\n" || s.Status() != 418 || s.ContentType() != "text/event-stream" {
		t.Errorf("got %q, %v, %d, %s", all, err, s.Status(), s.ContentType())
	}
	if held, told := s.(spec.Timed).Held(); told {
		t.Errorf("nobody told that the slot was held for %v", held)
	}
	if headed, ok := s.(spec.Headed); !ok || headed.HeadLength() != 7 {
		t.Error("the length of the answer's head was lost")
	}
	got, ok := s.Load()
	got.At = time.Time{}
	if !ok || got != load {
		t.Errorf("load %+v, want %+v", got, load)
	}
}

func TestTheLoadInTheTrailerIsFresher(t *testing.T) {
	gate := make(chan struct{})
	from, to := io.Pipe()
	a := whole(from)
	a.load = &spec.Load{Instance: "i1", Seq: 1}
	r := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) { return a, nil }), Config{})
	s := r.must(t.Context(), "")
	if l, ok := s.Load(); !ok || l.Seq != 1 {
		t.Errorf("at first %+v", l)
	}
	go func() { // the handler waits in Read of the pipe until it is closed
		defer close(gate)
		_, _ = to.Write([]byte("x"))
		a.load = &spec.Load{Instance: "i1", Seq: 2}
		_ = to.Close()
	}()
	if _, err := io.ReadAll(s); err != nil {
		t.Error(err)
	}
	<-gate
	if l, ok := s.Load(); !ok || l.Seq != 2 {
		t.Errorf("at the end %+v", l)
	}
}

func TestTokensComeAsTheyAreMade(t *testing.T) {
	from, to := io.Pipe()
	r := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) { return whole(from), nil }), Config{})
	s := r.must(t.Context(), "")
	for i := range 20 { // the next is made only when the last has been read
		want := fmt.Sprintf("token %d", i)
		go func() { _, _ = io.WriteString(to, want) }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = to.Close()
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// TestACutAnswerIsBroken has every way in which an answer can end without its end.
func TestACutAnswerIsBroken(t *testing.T) {
	half := func(then func(r *rig)) func(t *testing.T) {
		return func(t *testing.T) {
			from, to := io.Pipe()
			r := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) { return whole(from), nil }), Config{})
			s := r.must(t.Context(), "")
			go func() { _, _ = io.WriteString(to, "half") }()
			if _, err := io.ReadFull(s, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			then(r)
			checkBroken(t, s)
		}
	}
	t.Run("the connection is cut", half(func(r *rig) { r.conns.cut() }))
	raw := func(end func(w http.ResponseWriter)) func(t *testing.T) {
		return func(t *testing.T) {
			r := serveH(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				_, _ = io.Copy(io.Discard, q.Body)
				w.Header().Set(hdrKind, kindStream)
				w.Header().Set(hdrStatus, "200")
				w.Header().Set("Trailer", hdrEnd+", "+hdrCause)
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				end(w)
			}))
			checkBroken(t, r.must(t.Context(), ""))
		}
	}
	t.Run("the stream is reset", raw(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }))
	t.Run("no trailer at all", raw(func(http.ResponseWriter) {}))
	t.Run("another trailer", raw(func(w http.ResponseWriter) { w.Header().Set(hdrEnd, "0") }))
	t.Run("the engine breaks", func(t *testing.T) {
		r := newRig(t, opener(func(context.Context, spec.Target, spec.Call, []byte) (spec.Stream, error) {
			return whole(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("exit\nstatus 9")))), nil
		}), Config{})
		if err := checkBroken(t, r.must(t.Context(), "")); err != nil && !strings.Contains(err.Error(), "exit?status 9") {
			t.Errorf("the cause is lost: %v", err)
		}
	})
}

func checkBroken(t *testing.T, s io.Reader) error {
	t.Helper()
	_, err := io.ReadAll(s)
	if !errors.Is(err, spec.ErrBroken) {
		t.Errorf("got %v, want spec.ErrBroken", err)
	}
	if _, again := s.Read(make([]byte, 1)); !errors.Is(again, spec.ErrBroken) {
		t.Errorf("a second read says %v", again)
	}
	return err
}

// TestLeavingStopsTheEngine by either way, while the engine says nothing.
func TestLeavingStopsTheEngine(t *testing.T) {
	for name, leave := range map[string]func(cancel context.CancelFunc, s spec.Stream){
		"cancel": func(cancel context.CancelFunc, _ spec.Stream) { cancel() },
		"close":  func(_ context.CancelFunc, s spec.Stream) { _ = s.Close(); _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			from, to := io.Pipe()
			defer to.Close()
			a, done := whole(from), make(chan struct{})
			r := newRig(t, opener(func(ctx context.Context, _ spec.Target, _ spec.Call, _ []byte) (spec.Stream, error) {
				context.AfterFunc(ctx, func() { close(done) })
				return a, nil
			}), Config{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := r.must(ctx, "")
			leave(cancel, s)
			soon(t, "the opener's context ends", done)
			soon(t, "the stream is closed", a.closed)
			if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("a read afterwards says %v", err)
			}
		})
	}
}

func TestCancelReachesAnOpenerThatStillOpens(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	r := newRig(t, opener(func(ctx context.Context, _ spec.Target, _ spec.Call, _ []byte) (spec.Stream, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}), Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := r.open(ctx, ""); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreached) {
		t.Errorf("got %v", err)
	}
	soon(t, "the opener is told", ended)
}

// TestASlowReaderBlocksNobody has one stream stand still, on the same connection.
func TestASlowReaderBlocksNobody(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	r := newRig(t, opener(func(_ context.Context, _ spec.Target, _ spec.Call, body []byte) (spec.Stream, error) {
		if string(body) == "big" {
			return whole(bytes.NewReader(big)), nil
		}
		return whole(bytes.NewReader(big[:200<<10])), nil
	}), Config{})
	slow := r.must(t.Context(), "big")
	for range 20 {
		s := r.must(t.Context(), "small")
		if all, err := io.ReadAll(s); err != nil || len(all) != 200<<10 {
			t.Fatalf("beside a slow reader: %d bytes, %v", len(all), err)
		}
	}
	if n := len(r.conns.open); n != 1 {
		t.Errorf("%d connections", n)
	}
	if all, err := io.ReadAll(slow); err != nil || !bytes.Equal(all, big) {
		t.Errorf("the slow one: %d bytes, %v", len(all), err)
	}
}

func TestManyAtATime(t *testing.T) {
	r := newRig(t, opener(func(ctx context.Context, _ spec.Target, call spec.Call, body []byte) (spec.Stream, error) {
		if rand.IntN(10) == 0 {
			return nil, &spec.Rejection{Reason: spec.RejectBusy}
		}
		return whole(iotest.OneByteReader(strings.NewReader(call.RequestID + ":" + string(body)))), nil
	}), Config{})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i)}, 500)
			for j := range 20 {
				for k := range body { // ours again once the stream is closed
					body[k] = byte('a' + (i+j)%26)
				}
				id := fmt.Sprintf("%d-%d", i, j)
				s, err := r.client.Open(t.Context(), spec.Target{Node: "b"}, spec.Call{RequestID: id}, body)
				var refused *spec.Rejection
				if errors.As(err, &refused) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if j%5 == 4 { // leave early
					_, _ = s.Read(make([]byte, 3))
				} else if got, err := io.ReadAll(s); err != nil || string(got) != id+":"+string(body) {
					t.Errorf("%s: got %q, %v", id, got, err)
				}
				_ = s.Close()
			}
		})
	}
	all.Wait()
}
