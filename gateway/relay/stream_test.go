package relay

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

const usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n"

func TestStreamIsPassedOnAsItComes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a")
	got := make(chan struct{}) // the first event: the engine makes no second one before
	b.plays("a", streams(piece("one"), got, piece("two")+usage[:9], 20*time.Millisecond, usage[9:], done))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res, err := b.ask(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	if s := nextLine(t, r); s != strings.TrimSpace(piece("one")) {
		t.Errorf("first %q", s)
	}
	close(got)
	rest, err := io.ReadAll(r)
	if want := "\n" + piece("two") + usage + done; err != nil || string(rest) != want {
		t.Errorf("rest %q, %v", rest, err)
	}
	h := res.Header
	if !strings.HasPrefix(h.Get("Content-Type"), eventStream) || h.Get("Cache-Control") != "no-cache" || h.Get(HeaderNode) != "a" || h.Get(HeaderAttempts) != "1" {
		t.Errorf("headers %v", h)
	}
	o := b.outcome()
	if o.Err != nil || o.Gone || !o.HasUsage || o.Usage != (openai.Usage{Prompt: 4, Completion: 2}) || o.FirstByte <= 0 {
		t.Errorf("outcome %+v", o)
	}
}

// errorEvent is the event that a broken stream ends with.
func errorEvent(t *testing.T, body string, code spec.Code) (before string) {
	t.Helper()
	before, event, ok := strings.Cut(body, "event: error\ndata: ")
	if !ok || !strings.Contains(event, `"code":"`+string(code)+`"`) || !strings.Contains(event, `"request_id":"r1"`) ||
		strings.Count(event, "\n") != 2 || strings.Contains(body, "[DONE]") {
		t.Errorf("%q does not end with one error event of %s", body, code)
	}
	return before
}

// TestNoRetryAfterTheFirstEvent: the other node is there and would serve, but
// the client has seen a part of the first one's answer.
func TestNoRetryAfterTheFirstEvent(t *testing.T) {
	for name, end := range map[string][]any{
		"broke":                    {errBroke},
		"broke inside an event":    {"data: {\"choi", errBroke},
		"ended without [DONE]":     {},
		"ended inside an event":    {"data: {\"choi"},
		"ended inside [DONE]":      {"data: [DON"},
		"cut inside its own words": {"data: {\"choices\":[{\"delta\":{\"content\":\"data: [DONE]"},
		"another error":            {errConnect},
	} {
		b := newBench(t, "a b")
		b.plays("a", streams(append([]any{piece("x") + piece("y")}, end...)...))
		b.plays("b", streams(piece("z"), done))
		res, body := b.get(true)
		code := spec.CodeStreamBroken
		if name == "another error" {
			code = spec.CodeUpstream
		}
		if before := errorEvent(t, body, code); res.StatusCode != 200 || before != piece("x")+piece("y") {
			t.Errorf("%s: %d, before the error came %q", name, res.StatusCode, before)
		}
		if o := b.outcome(); o.Err == nil || o.Err.Code != code || o.Gone || b.tried() != "a" {
			t.Errorf("%s: outcome %+v, tried %s", name, o, b.tried())
		}
	}
}

// TestAfterItsLastEvent: once the engine has said [DONE], or that it failed, nothing
// that happens to it may add to what the client got.
func TestAfterItsLastEvent(t *testing.T) {
	t.Parallel()
	failure := "event: error\ndata: {\"error\":{\"message\":\"out of memory\"}}\n\n"
	for name, end := range map[string]struct {
		last string
		then []any
		code spec.Code
	}{
		"[DONE]":                      {done, nil, ""},
		"[DONE], then broke":          {done, []any{errBroke}, ""},
		"[DONE], then stood still":    {done, []any{time.Minute}, ""},
		"[DONE], then half an event":  {done, []any{"data: {", errBroke}, ""},
		"[DONE], then more":           {done + piece("y"), []any{piece("z"), done}, ""},
		"[DONE], then more, for ever": {done, []any{piece("y"), 10 * time.Millisecond, piece("z"), time.Minute}, ""},
		"an error, then [DONE]":       {failure + done, nil, spec.CodeUpstream},
		"[DONE] without a blank line": {strings.TrimSpace(done), nil, ""},
		"an error":                    {failure, nil, spec.CodeUpstream},
		"an error, then broke":        {failure, []any{errBroke}, spec.CodeUpstream},
		"an error cut short":          {strings.TrimSpace(failure), nil, spec.CodeUpstream},
	} {
		b := newBench(t, "a b")
		b.plays("a", streams(append([]any{piece("x"), end.last}, end.then...)...))
		began := time.Now()
		_, body := b.get(true)
		if end.code != "" {
			if before := errorEvent(t, body, end.code); before != piece("x") || !strings.Contains(body, "with an error: out of memory") {
				t.Errorf("%s: %q", name, body)
			}
		} else if want := piece("x") + done; body != want {
			t.Errorf("%s: %q, want %q", name, body, want)
		}
		if took := time.Since(began); took > 30*time.Second { // of the minute for which it stands still
			t.Errorf("%s: took %v", name, took)
		}
		o := b.outcome()
		if code := spec.Code(""); o.Gone || (o.Err == nil) != (end.code == "") || b.tried() != "a" {
			t.Errorf("%s: outcome %+v, want %q %q", name, o, code, end.code)
		} else if o.Err != nil && o.Err.Code != end.code {
			t.Errorf("%s: outcome %+v", name, o)
		}
	}
}

// TestLongEvents: one of more than a megabyte is passed on in pieces, and an
// error that follows half of it stands on lines of its own.
func TestLongEvents(t *testing.T) {
	long := piece(strings.Repeat("x", 3*maxEvent))
	b := newBench(t, "a")
	b.plays("a", streams(piece("x"), long, done))
	if _, body := b.get(true); body != piece("x")+long+done {
		t.Errorf("%d bytes came of %d", len(body), len(piece("x")+long+done))
	}
	b.outcome()
	b = newBench(t, "a")
	b.plays("a", streams(piece("x"), long[:2*maxEvent], errBroke))
	_, body := b.get(true)
	if before := errorEvent(t, body, spec.CodeStreamBroken); !strings.HasSuffix(before, "xx\n\n") {
		t.Errorf("the error event follows %q", before[max(0, len(before)-20):])
	}
	b.outcome()
}

// TestPings: a stream whose first event is long in coming begins with comments,
// and then whatever follows is an event.
func TestPings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p    play // after the first comment
		want string
		code spec.Code
	}{
		"an answer":         {streams(piece("x"), done), piece("x") + done, ""},
		"a refusal":         {says(400, "bad"), "", spec.CodeInvalidRequest},
		"full":              {says(429, "full"), "", spec.CodeBusy},
		"a failure":         {says(500, "oops"), "", spec.CodeUpstream},
		"one piece instead": {says(200, "{}"), "", spec.CodeUpstream},
		"broke":             {streams(errBroke), "", spec.CodeStreamBroken}, // and there is no other
	} {
		b := newBench(t, "a", func(c *Config) { c.PingAfter = 50 * time.Millisecond })
		pinged := make(chan struct{})
		c.p.pieces = append([]any{pinged}, c.p.pieces...)
		b.plays("a", c.p)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		res, err := b.ask(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(res.Body)
		if s := nextLine(t, r); s != ": ping" {
			t.Errorf("%s: begins with %q", name, s)
		}
		close(pinged)
		body, err := io.ReadAll(r)
		res.Body.Close()
		rest := strings.ReplaceAll("\n"+string(body), ": ping\n\n", "")
		rest = strings.TrimLeft(rest, "\n")
		if c.code == "" {
			note := ": lotabots node=a attempts=1\n\n"
			if rest != note+c.want || res.Header.Get(HeaderNode) != "" {
				t.Errorf("%s: %q, headers %v", name, rest, res.Header)
			}
		} else {
			errorEvent(t, rest, c.code)
		}
		if err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %d, %v", name, res.StatusCode, err)
		}
		if o := b.outcome(); (o.Err == nil) != (c.code == "") {
			t.Errorf("%s: outcome %+v", name, o)
		}
	}
}

// TestPingsInTheQueue: one that waits for a place is kept alive as well.
func TestPingsInTheQueue(t *testing.T) {
	b := newBench(t, "a", func(c *Config) { c.PingAfter = 20 * time.Millisecond })
	b.plays("a", streams(piece("x"), time.Hour))
	for range 4 {
		res, err := b.ask(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
	}
	_, body := b.get(true)
	if n := strings.Count(body, ": ping\n\n"); n < 2 {
		t.Errorf("%d comments in %q", n, body)
	}
	errorEvent(t, strings.ReplaceAll(body, ": ping\n\n", ""), spec.CodeBusy)
}

// TestRetriesWhilePinging: comments are no answer, so another node may still serve.
func TestRetriesWhilePinging(t *testing.T) {
	b := newBench(t, "a b", func(c *Config) { c.PingAfter = 20 * time.Millisecond })
	b.plays("a", streams(100*time.Millisecond, errBroke))
	b.plays("b", streams(piece("x"), done))
	_, body := b.get(true)
	if !strings.HasSuffix(body, ": lotabots node=b attempts=2\n\n"+piece("x")+done) {
		t.Errorf("%q", body)
	}
	if o := b.outcome(); o.Err != nil || o.Node != "b" {
		t.Errorf("outcome %+v", o)
	}
}

// TestHTTP10 gets its stream event by event, though it knows no chunks, until the connection
// closes; also one that takes longer than the server's limit on writing an answer.
func TestHTTP10(t *testing.T) {
	for name, c := range map[string]struct{ last, end string }{"whole": {last: done, end: done}, "broken": {end: "stream_broken"}} {
		b := newBench(t, "a", func(c *Config) { c.WriteStall = 5 * time.Second })
		asked := make(chan struct{})
		pieces := []any{piece("x"), asked, piece("y")}
		if c.last != "" {
			pieces = append(pieces, c.last)
		} else {
			pieces = append(pieces, errBroke)
		}
		b.plays("a", streams(pieces...))
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "POST / HTTP/1.0\r\nHost: x\r\nStream: 1\r\nContent-Length: 2\r\n\r\n{}")
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		r := bufio.NewReader(conn)
		head, got := "", ""
		for !strings.HasSuffix(got, piece("x")) {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: after %q: %v", name, head+got, err)
			}
			if got += line; line == "\r\n" {
				head, got = got, ""
			}
		}
		close(asked) // the engine goes on only now
		rest, err := io.ReadAll(r)
		if err != nil || !strings.HasPrefix(string(rest), piece("y")) || !strings.Contains(string(rest), c.end) {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
		if head = strings.ToLower(head); !strings.Contains(head, "connection: close") || strings.Contains(head, "content-length") || strings.Contains(head, "transfer-encoding") {
			t.Errorf("%s: %q", name, head)
		}
		if o := b.outcome(); (o.Err == nil) != (c.last != "") || o.Gone {
			t.Errorf("%s: outcome %+v", name, o)
		}
	}
}

// TestHTTP10Leaves stops the engine, as any client does.
func TestHTTP10Leaves(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", play{status: 200, kind: eventStream, pieces: []any{piece("x"), 20 * time.Millisecond}, loopLast: true})
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST / HTTP/1.0\r\nHost: x\r\nStream: 1\r\nContent-Length: 2\r\n\r\n{}")
	_, _ = io.ReadFull(conn, make([]byte, 10))
	conn.Close()
	eventually(t, "the engine's stop", func() bool { return b.streamsOpen() == 0 })
	if o := b.outcome(); !o.Gone {
		t.Errorf("%+v", o)
	}
}

// TestSlowReader: a client that takes nothing is held for WriteStall, and its
// engine is stopped then; until then it slows the engine down.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a", func(c *Config) { c.WriteStall = 300 * time.Millisecond })
	b.plays("a", play{status: 200, kind: eventStream, pieces: []any{piece(strings.Repeat("x", 64<<10))}, loopLast: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := b.ask(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if o := b.outcome(); !o.Gone {
		t.Errorf("outcome %+v", o)
	}
	eventually(t, "the engine is stopped", func() bool { return b.streamsOpen() == 0 })
}
