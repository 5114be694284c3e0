package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRequestsShareOneConnection sends many at once, before there is one.
func TestRequestsShareOneConnection(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	a.Handle("infer", say("infer"))
	var failed atomic.Int32
	var all sync.WaitGroup
	for range 90 {
		all.Go(func() {
			if _, err := get(b, "infer", "a", "/"); err != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d requests failed", n)
	}
	if n := len(a.standing.list(func(*conn) bool { return true })); n > 2 {
		t.Errorf("%d connections for 90 requests", n)
	}
}

// TestMoreStreamsThanAConnectionHas needs several.
func TestMoreStreamsThanAConnectionHas(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	open := make(chan struct{})
	var inside atomic.Int32
	a.Handle("infer", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inside.Add(1)
		select {
		case <-open:
		case <-r.Context().Done():
		}
	}))
	const many = maxStreams + 50
	var failed atomic.Int32
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			resp, err := b.Client("infer").Get("http://a/")
			if err != nil {
				failed.Add(1)
				return
			}
			_ = resp.Body.Close()
		})
	}
	within(t, 30*time.Second, "all are being served at the same time", func() bool { return inside.Load() == many })
	close(open)
	all.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d requests failed", n)
	}
}

// TestCancellingReachesTheHandler is how a client's leaving stops an engine.
func TestCancellingReachesTheHandler(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	begun, ended := make(chan struct{}), make(chan struct{})
	a.Handle("infer", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Lotabots-End")
		_, _ = io.WriteString(w, "token")
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		close(ended)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://a/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.Client("infer").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-begun
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the handler was not told")
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v", err)
	}
}

// TestARestartedPeerIsFoundAgain restarts at the same address and at another.
func TestARestartedPeerIsFoundAgain(t *testing.T) {
	w := newWorld(t)
	i := identity(t, w.authority, "a")
	b := w.port("b")
	listen := "127.0.0.1:0"
	for round := range 6 {
		a := w.portWith("a", defaultLimits, listen, i)
		a.Handle("state", say("state"))
		for range 3 {
			if got, err := get(b, "state", "a", "/"); err != nil || got != "state to b" {
				t.Errorf("round %d: %q, %v", round, got, err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := get(b, "state", "a", "/"); err == nil {
			t.Error("a closed port answered")
		}
		if listen = a.Addr(); round == 3 {
			listen = "127.0.0.1:0"
		}
	}
	if n := len(b.standing.list(func(*conn) bool { return true })); n != 0 {
		t.Errorf("%d connections are kept to a node that is gone", n)
	}
}

// A mute link swallows everything once it is cut, as a dead host or a cut cable does.
type muteLink struct {
	net.Listener
	cut chan struct{}
}

func newMuteLink(t *testing.T, to string) *muteLink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &muteLink{l, make(chan struct{})}
	var work sync.WaitGroup
	life, end := context.WithCancel(context.Background())
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			context.AfterFunc(life, func() { _, _ = in.Close(), out.Close() })
			work.Go(func() { m.carry(in, out) })
			work.Go(func() { m.carry(out, in) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); end(); work.Wait() })
	return m
}

func (m *muteLink) carry(to, from net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			select {
			case <-m.cut: // not even the end is told
			default:
				_ = to.Close()
			}
			return
		}
		select {
		case <-m.cut:
		default:
			_, _ = to.Write(buf[:n])
		}
	}
}

// TestADeadPeerIsNoticed cuts a link under a stream; only pings can tell.
func TestADeadPeerIsNoticed(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	a.Handle("infer", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "token")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	link := newMuteLink(t, a.Addr())
	w.move("a", link.Addr().String())
	resp, err := b.Client("infer").Get("http://a/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	close(link.cut)
	_, err = io.ReadAll(resp.Body)
	took := time.Since(began)
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the stream ended as if whole: %v", err)
	}
	if want := b.limits.pingAfter + b.limits.pingTimeout; took > want+20*time.Second {
		t.Errorf("a dead peer was noticed after %v, want about %v", took, want)
	}
}

// TestDropFailsWhatIsUnderWay and leaves other nodes' connections alone.
func TestDropFailsWhatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.port("a"), w.port("b"), w.port("c")
	hang := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	a.Handle("infer", hang)
	c.Handle("infer", hang)
	streams := map[string]io.ReadCloser{}
	for _, id := range []string{"a", "c"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+id+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.Client("infer").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		streams[id] = resp.Body
	}
	ended := make(chan string, 2)
	for id, body := range streams {
		go func() { _, _ = io.ReadAll(body); ended <- id }()
	}
	b.Drop("a")
	select {
	case id := <-ended:
		if id != "a" {
			t.Errorf("the stream of %s ended", id)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the stream to the dropped node goes on")
	}
	_ = streams["c"].Close()
	<-ended
}

// TestAWaitingRequestEndsWithItsContext dials an address that never answers.
func TestAWaitingRequestEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	b := w.port("b")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	w.move("a", silent.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://a/", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if resp, err := b.Client("state").Do(req); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", resp, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	a.Handle("state", http.RedirectHandler("http://c/", http.StatusFound))
	resp, err := b.Client("state").Get("http://a/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("got %s", resp.Status)
	}
}

// TestCloseEndsHandlers and every connection, and is quick about it.
func TestCloseEndsHandlers(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	inside := make(chan struct{})
	var ended atomic.Bool
	a.Handle("infer", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(inside)
		<-r.Context().Done()
		time.Sleep(20 * time.Millisecond)
		ended.Store(true)
	}))
	failed := make(chan error, 1)
	go func() {
		resp, err := b.Client("infer").Get("http://a/")
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	<-inside
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if !ended.Load() {
		t.Error("Close did not wait for the handler")
	}
	if err := <-failed; err == nil {
		t.Error("a request to a closed port succeeded")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := get(b, "infer", "a", "/"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed port asked: %v", err)
	}
	if _, err := b.Listener("raft").Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed port listens: %v", err)
	}
}

// TestCloseTellsOfAHandlerThatHangs and does not hang with it.
func TestCloseTellsOfAHandlerThatHangs(t *testing.T) {
	w := newWorld(t)
	short := defaultLimits
	short.closeTimeout = 100 * time.Millisecond
	p, err := listen(Config{Listen: "127.0.0.1:0", Identity: identity(t, w.authority, "a")}, short)
	if err != nil {
		t.Fatal(err)
	}
	w.move("a", p.Addr())
	b := w.port("b")
	inside, release := make(chan struct{}), make(chan struct{})
	p.Handle("infer", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(inside); <-release }))
	go func() {
		if resp, err := b.Client("infer").Get("http://a/"); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-inside
	if err := p.Close(); err == nil {
		t.Error("Close did not tell")
	}
	close(release)
}

// TestDropsUnderLoad cuts connections again and again while requests go on.
func TestDropsUnderLoad(t *testing.T) {
	w := newWorld(t)
	a, b := w.port("a"), w.port("b")
	a.Handle("infer", say("infer"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var good atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				if got, err := get(b, "infer", "a", "/"); err == nil && got == "infer to b" {
					good.Add(1)
				} else if err == nil {
					t.Errorf("answered %q", got)
				}
			}
		})
	}
	for drops := range 30 { // each once some requests have come through since the last
		want := good.Load() + 5
		for good.Load() < want && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if ctx.Err() != nil {
			t.Fatalf("after %d drops, no request comes through", drops)
		}
		b.Drop("a")
	}
	cancel()
	all.Wait()
	if got, err := get(b, "infer", "a", "/"); err != nil || got != "infer to b" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	within(t, 30*time.Second, "one connection is left", func() bool {
		return len(b.standing.list(func(*conn) bool { return true })) == 1
	})
}
