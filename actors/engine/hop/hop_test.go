package hop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func callerTo(t testing.TB, address string) *Caller {
	c := &Caller{Host: address, Dial: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}}
	t.Cleanup(c.Close)
	return c
}

// serve answers each connection by f, which may take its time.
func serve(t testing.TB, f func(net.Conn)) *Caller {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return callerTo(t, l.Addr().String())
}

func httpServer(t testing.TB, h http.HandlerFunc) (*Caller, *atomic.Int32) {
	connections := &atomic.Int32{}
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return callerTo(t, strings.TrimPrefix(s.URL, "http://")), connections
}

func post(body string) *Request {
	return &Request{Method: "POST", Path: "/v1/x", Body: []byte(body), Header: []Field{{"Content-Type", "application/json"}, {"X-Bad", "a\r\nX-Evil: b"}}}
}

func read(t testing.TB, a *http.Response) string {
	t.Helper()
	all, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	return string(all)
}

func TestRequestsShareAConnection(t *testing.T) {
	c, connections := httpServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Evil") != "" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the server got %v", r.Header)
		}
		w.Header().Set("Content-Type", "text/plain")
		if len(body) > 10 {
			w.(http.Flusher).Flush() // chunked
		}
		_, _ = w.Write(body)
	})
	before := Count()
	for _, size := range []int{0, 1, 10, 11, 5000, 3*oneWrite + 1, MostBody} {
		body := strings.Repeat("b", size)
		a, err := c.Do(t.Context(), post(body))
		if err != nil {
			t.Fatal(err)
		}
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("got %d %v", a.StatusCode, a.Header)
		}
		if got := read(t, a); got != body {
			t.Errorf("of %d bytes, %d came back", size, len(got))
		}
	}
	now := Count()
	if connections.Load() != 1 || now.Dialled-before.Dialled != 1 || now.Reused-before.Reused != 6 || now.Waiting-before.Waiting != 1 {
		t.Errorf("%d connections; counts from %+v to %+v", connections.Load(), before, now)
	}
	r := post("x")
	r.Last = true
	a, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	read(t, a)
	if connections.Load() != 2 || Count().Waiting-before.Waiting != 1 {
		t.Error("the last request of a connection used or kept one")
	}
	c.Close()
	if n := Count().Waiting - before.Waiting; n != 0 {
		t.Errorf("after Close %d wait", n)
	}
}

// TestACloseIsSeen: neither the end of the context nor Close leaves the server at work.
func TestACloseIsSeen(t *testing.T) {
	for _, how := range []string{"context", "close"} {
		gone := make(chan struct{})
		c, _ := httpServer(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("data: a\n\n"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(t.Context())
		a, err := c.Do(ctx, post("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := a.Body.Read(make([]byte, 100)); n != 9 || err != nil {
			t.Fatal(n, err)
		}
		ended := make(chan error)
		go func() {
			_, err := a.Body.Read(make([]byte, 100))
			ended <- err
		}()
		if how == "close" {
			a.Body.Close()
		} else {
			cancel()
		}
		if err := <-ended; err == nil || err == io.EOF {
			t.Errorf("%s: the read ends with %v", how, err)
		}
		<-gone
		cancel()
		if _, err := a.Body.Read(make([]byte, 100)); err == nil || err == io.EOF {
			t.Errorf("%s: the next read ends with %v", how, err)
		}
	}
}

func TestAContextEndsTheWaitForAnAnswer(t *testing.T) {
	c := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Do(ctx, post("{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Do(ctx, post("{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: got %v", err)
	}
}

// TestAClosedConnectionIsNotUsed: what the server closes while it waits costs nobody a request.
func TestAClosedConnectionIsNotUsed(t *testing.T) {
	var requests atomic.Int32
	c := serve(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			requests.Add(1)
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		}
	})
	for range 5 {
		a, err := c.Do(t.Context(), post("{}"))
		if err != nil {
			t.Fatal(err)
		}
		read(t, a)
		for until := time.Now().Add(30 * time.Second); len(c.kept.mu.conns) > 0 && c.kept.mu.conns[0].quiet() && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
	}
	if n := requests.Load(); n != 5 {
		t.Errorf("%d requests came", n)
	}
}

// TestWhatNobodyAskedForEndsItsConnection: an answer that a server sends once too often is not the next one's.
func TestWhatNobodyAskedForEndsItsConnection(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	for name, send := range map[string]func(net.Conn){
		"with the answer": func(c net.Conn) { _, _ = c.Write([]byte(answer + "ok" + answer + "no")) },
		"after it": func(c net.Conn) {
			_, _ = c.Write([]byte(answer + "ok"))
			time.Sleep(time.Millisecond)
			_, _ = c.Write([]byte(answer + "no"))
		},
	} {
		var requests atomic.Int32
		c := serve(t, func(c net.Conn) {
			for in := bufio.NewReader(c); ; {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				requests.Add(1)
				send(c)
			}
		})
		before := Count()
		for _, size := range []int{2, 2, oneWrite + 1, 2} {
			a, err := c.Do(t.Context(), post(strings.Repeat("x", size)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := read(t, a); got != "ok" {
				t.Errorf("%s: got %q", name, got)
			}
			for until := time.Now().Add(30 * time.Second); len(c.kept.mu.conns) > 0 && c.kept.mu.conns[0].quiet() && time.Now().Before(until); {
				time.Sleep(time.Millisecond)
			}
		}
		now := Count()
		if n := requests.Load(); n != 4 || now.Dialled-before.Dialled != 4 || now.Reused != before.Reused {
			t.Errorf("%s: %d requests came; counts from %+v to %+v", name, n, before, now)
		}
		c.Close()
	}
}

// TestAContextEndsTheWaitOnAKeptConnection: the request is not sent again.
func TestAContextEndsTheWaitOnAKeptConnection(t *testing.T) {
	silent := atomic.Bool{}
	c := serve(t, func(c net.Conn) {
		for in := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			if !silent.Load() {
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			}
		}
	})
	if _, err := c.Do(t.Context(), post("")); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	before := Count()
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Do(ctx, post("")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if now := Count(); now.Reused-before.Reused != 1 || now.Dialled != before.Dialled || now.Busy != before.Busy {
		t.Errorf("counts from %+v to %+v", before, now)
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   error
	}{
		"hangs up":             {"", io.EOF},
		"breaks off":           {"HTTP/1.1 200 OK\r\nContent-", io.ErrUnexpectedEOF},
		"informs for ever":     {strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 20), errInforming},
		"switches":             {"HTTP/1.1 101 Switching\r\n\r\n", errInforming},
		"is no HTTP":           {"SSH-2.0-OpenSSH_9.9\r\n\r\n", errStatusLine},
		"two lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", errLength},
		"negative length":      {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n", errLength},
		"another coding":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", errLength},
		"a folded line":        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", errField},
		"a space before colon": {"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", errField},
		"a large head":         {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", mostHead+headSize), errHeadSize},
	} {
		caller := serve(t, func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = conn.Write([]byte(c.answer))
			}
		})
		if _, err := caller.Do(t.Context(), post("")); !errors.Is(err, c.want) && !(c.want == io.EOF && errors.Is(err, syscall.ECONNRESET)) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var op *net.OpError
	if _, err := callerTo(t, l.Addr().String()).Do(t.Context(), post("")); !errors.As(err, &op) || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestAServerThatDoesNotReadIsHeard: its answer counts though the request was not taken.
func TestAServerThatDoesNotReadIsHeard(t *testing.T) {
	c := serve(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 10))
		_, _ = c.Write([]byte("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"))
		_, _ = io.Copy(io.Discard, c)
	})
	a, err := c.Do(t.Context(), post(strings.Repeat("x", MostBody)))
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != 413 || read(t, a) != "big" || len(c.kept.mu.conns) != 0 {
		t.Errorf("got %d; %d connections wait", a.StatusCode, len(c.kept.mu.conns))
	}
}

func TestKeptConnectionsAreClosedInTime(t *testing.T) {
	c, _ := httpServer(t, func(http.ResponseWriter, *http.Request) {})
	a, err := c.Do(t.Context(), post(""))
	if err != nil {
		t.Fatal(err)
	}
	read(t, a)
	c.kept.mu.Lock()
	if len(c.kept.mu.conns) != 1 || c.kept.mu.timer == nil {
		t.Fatal("nothing waits")
	}
	c.kept.mu.conns[0].since = time.Now().Add(-keptFor)
	c.kept.mu.Unlock()
	c.kept.sweep()
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	if len(c.kept.mu.conns) != 0 || c.kept.mu.timer != nil {
		t.Error("it was not closed")
	}
}

// scripted is a connection that gives what it has in pieces of its own size.
type scripted struct {
	net.Conn
	left []byte
	size int
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.left)
	s.left = s.left[n:]
	return n, nil
}
func (s *scripted) Write(p []byte) (int, error) { return len(p), nil }
func (s *scripted) Close() error                { return nil }

// answered is what Do makes of the bytes, and whether the connection would be kept.
func answered(raw []byte, method string, size int) (a *http.Response, body []byte, keep bool, err error) {
	c := &Caller{Dial: func(context.Context) (net.Conn, error) { return &scripted{left: raw, size: size}, nil }}
	defer c.Close()
	if a, err = c.Do(context.Background(), &Request{Method: method, Path: "/"}); err != nil {
		return nil, nil, false, err
	}
	body, err = io.ReadAll(a.Body)
	a.Body.Close()
	return a, body, len(c.kept.mu.conns) == 1, err
}

// FuzzAnswer holds what is read against net/http: what is understood here is understood
// so there, however the bytes come.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200\nContent-Type: a\n\nall", "HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), false, uint16(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, headless bool, size uint16) {
		method := "POST"
		if headless {
			method = "HEAD"
		}
		a, body, keep, err := answered(raw, method, int(size)+1)
		one, oneBody, oneKeep, oneErr := answered(raw, method, 1<<20)
		if (a == nil) != (one == nil) || (err == nil) != (oneErr == nil) || err == nil && (!bytes.Equal(body, oneBody) || a.StatusCode != one.StatusCode) {
			t.Fatalf("in pieces of %d: %v, %q, %v; in one: %v, %q, %v", size, a, body, err, one, oneBody, oneErr)
		}
		if a == nil || err != nil {
			return
		}
		in := bufio.NewReader(bytes.NewReader(raw))
		var want *http.Response
		for want == nil || want.StatusCode/100 == 1 {
			if want, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				t.Fatalf("net/http does not understand it: %v", err)
			}
		}
		wantBody, err := io.ReadAll(want.Body)
		if err != nil || !bytes.Equal(body, wantBody) || a.StatusCode != want.StatusCode || a.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Fatalf("got %d %q, net/http reads %d %q, %v", a.StatusCode, body, want.StatusCode, wantBody, err)
		}
		if (keep || oneKeep) && want.Close {
			t.Fatal("net/http would not keep the connection")
		}
		if rest, _ := io.ReadAll(in); oneKeep && len(rest) > 0 {
			t.Fatalf("a connection is kept on which %q follows", rest)
		}
	})
}

func BenchmarkDo(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 26 Nov 2026 07:00:00 GMT\r\nContent-Length: 300\r\n\r\n" + strings.Repeat("x", 300))
	c := serve(b, func(c net.Conn) {
		in := make([]byte, 64<<10)
		for {
			if _, err := c.Read(in); err != nil {
				return
			}
			_, _ = c.Write(answer)
		}
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	url := "http://" + c.Host + "/v1/x"
	body := bytes.Repeat([]byte("y"), 400)
	buf := make([]byte, 4<<10)
	finish := func(a *http.Response, err error) {
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = a.Body.Read(buf)
		}
		a.Body.Close()
	}
	b.Run("hop", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			finish(c.Do(b.Context(), &Request{Method: "POST", Path: "/v1/x", Body: body, Header: []Field{{"Content-Type", "application/json"}}}))
		}
	})
	b.Run("net-http", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, _ := http.NewRequestWithContext(b.Context(), "POST", url, bytes.NewReader(body))
			finish(client.Do(r))
		}
	})
}
