package relay

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A capital is a Shape that says everything in capitals, and notes what it is given.
type capital struct {
	t     *testing.T
	given []string
	fails bool
}

func (c *capital) ContentType(stream bool) string {
	if stream {
		return "text/event-stream; loud"
	}
	return "application/loud"
}

func (c *capital) Whole(dst, answer []byte) ([]byte, error) {
	if c.fails {
		return nil, errors.New("too quiet")
	}
	return append(dst, bytes.ToUpper(answer)...), nil
}

func (c *capital) Events(dst, events []byte) ([]byte, error) {
	if c.fails {
		return nil, errors.New("too quiet")
	}
	if !bytes.HasSuffix(events, []byte("\n\n")) || bytes.Contains(events, []byte(`{"error`)) {
		c.t.Errorf("given %q", events)
	}
	c.given = append(c.given, string(events))
	return append(dst, bytes.ToUpper(events)...), nil
}

func (c *capital) Failed(dst []byte, e *spec.Error, id string) []byte {
	return append(dst, "event: LOUD\ndata: "+string(e.Code)+" "+e.Message+" "+id+"\n\n"...)
}

func (c *capital) Ping(dst []byte) []byte { return append(dst, ": PING\n\n"...) }

func loud(t *testing.T, b *bench) *capital {
	c := &capital{t: t}
	b.prepare = func(x *Exchange) { x.Shape = c }
	return c
}

func TestShapedStream(t *testing.T) {
	text := piece("one") + piece("two") + usage
	for cut := 1; cut < len(text); cut += 7 {
		b := newBench(t, "a")
		loud(t, b)
		b.plays("a", streams(text[:cut], time.Millisecond, text[cut:]+done))
		res, body := b.get(true)
		if body != strings.ToUpper(text+done) || res.Header.Get("Content-Type") != "text/event-stream; loud" {
			t.Fatalf("cut at %d: %q, %v", cut, body, res.Header)
		}
		if o := b.outcome(); o.Err != nil || !o.HasUsage {
			t.Errorf("outcome %+v", o)
		}
	}
}

// TestShapedEndings: whatever ends a stream is told in the client's form.
func TestShapedEndings(t *testing.T) {
	t.Parallel()
	x, first := piece("x"), strings.ToUpper(piece("x"))
	for name, c := range map[string]struct {
		p    play
		want string
	}{
		"without an empty line": {streams(x, strings.TrimSpace(done)), first + strings.ToUpper(done)},
		"broke":                 {streams(x, errBroke), first + "event: LOUD\ndata: stream_broken The answer broke off: the engine or its node failed. r1\n\n"},
		"the engine's error":    {streams(x + "data: {\"error\":{\"message\":\"out of memory\"}}\n\n"), first + "event: LOUD\ndata: engine_error The engine ended the stream with an error: out of memory r1\n\n"},
		"an error cut short":    {streams(x + "event: error\ndata: {\"error\":{}}"), first + "event: LOUD\ndata: engine_error The engine ended the stream with an error. r1\n\n"},
		"slow":                  {streams(80*time.Millisecond, x+done), ": PING\n\n: lotabots node=a attempts=1\n\n" + first + strings.ToUpper(done)},
		"slow, and fails":       {play{status: 400, kind: "application/json", pieces: []any{80 * time.Millisecond, "bad"}}, ": PING\n\n: lotabots node=a attempts=1\n\nevent: LOUD\ndata: invalid_request The engine answered with status 400: bad r1\n\n"},
	} {
		b := newBench(t, "a", func(c *Config) { c.PingAfter = 50 * time.Millisecond })
		loud(t, b)
		b.plays("a", c.p)
		_, body := b.get(true)
		for strings.Contains(body, ": PING\n\n: PING\n\n") { // as many as there was time for
			body = strings.Replace(body, ": PING\n\n", "", 1)
		}
		if !strings.HasPrefix(name, "slow") {
			body = strings.ReplaceAll(body, ": PING\n\n: lotabots node=a attempts=1\n\n", "")
		}
		if body != c.want {
			t.Errorf("%s: %q, want %q", name, body, c.want)
		}
		b.outcome()
	}
}

func TestShapedWhole(t *testing.T) {
	for name, c := range map[string]struct {
		p      play
		fails  bool
		status int
		kind   string
		body   string
	}{
		"answer":   {says(200, `{"a":1}`), false, 200, "application/loud", `{"A":1}`},
		"bad":      {says(400, "bad"), false, 400, "", `"code":"invalid_request"`},
		"full":     {says(429, "full"), false, 429, "", `"code":"no_capacity"`},
		"unshaped": {says(200, "{}"), true, 502, "", "too quiet"},
	} {
		b := newBench(t, "a")
		loud(t, b).fails = c.fails
		b.plays("a", c.p)
		res, body := b.get(false)
		if res.StatusCode != c.status || !strings.Contains(body, c.body) || (c.kind != "" && res.Header.Get("Content-Type") != c.kind) {
			t.Errorf("%s: %d %q %v", name, res.StatusCode, body, res.Header)
		}
		if o := b.outcome(); (o.Err == nil) != (c.status == 200) {
			t.Errorf("%s: outcome %+v", name, o)
		}
	}
}

// TestSettled: the caller hears of the end before the client does, once, and can
// still make an error of it.
func TestSettled(t *testing.T) {
	t.Parallel()
	failure := "data: {\"error\":{\"message\":\"out of memory\"}}\n\n"
	for name, c := range map[string]struct {
		p       play
		stream  bool
		err     error
		before  string // that has gone out when it is settled
		after   string
		outcome spec.Code
	}{
		"stream":         {streams(piece("x"), 50*time.Millisecond, piece("y")+usage+done), true, nil, piece("x"), piece("y") + usage + done, ""},
		"stream refused": {streams(piece("x"), 50*time.Millisecond, piece("y")+done), true, errors.New("disk full"), piece("x"), piece("y") + "event: error\n", spec.CodeInternal},
		"broke":          {streams(piece("x"), 50*time.Millisecond, errBroke), true, nil, piece("x"), "event: error\n", spec.CodeStreamBroken},
		"failed":         {streams(piece("x"), 50*time.Millisecond, failure), true, nil, piece("x"), "event: error\n", spec.CodeUpstream},
		"whole":          {says(200, "{}"), false, nil, "", "{}", ""},
		"whole refused":  {says(200, "{}"), false, errors.New("disk full"), "", `{"error"`, spec.CodeInternal},
		"error":          {says(400, "bad"), false, nil, "", `{"error"`, spec.CodeInvalidRequest},
		"no answer":      {says(500, "bad"), false, nil, "", `{"error"`, spec.CodeUpstream},
	} {
		b := newBench(t, "a")
		b.plays("a", c.p)
		calls, seen := 0, make(chan string, 1)
		var res io.Reader
		opened := make(chan struct{})
		b.prepare = func(x *Exchange) {
			x.Settle = func(o *Outcome) error {
				calls++
				if c.before != "" {
					<-opened
					buf := make([]byte, len(c.before))
					n, _ := io.ReadFull(res, buf)
					seen <- string(buf[:n])
				}
				if c.err == nil && (o.Err == nil) != (c.outcome == "") || strings.Contains(c.after, usage) && o.Usage.Completion != 2 {
					t.Errorf("%s: settled with %+v", name, o)
				}
				return c.err
			}
		}
		r, err := b.ask(t.Context(), c.stream)
		if err != nil {
			t.Fatal(err)
		}
		res = r.Body
		close(opened)
		if c.before != "" {
			if s := <-seen; s != c.before {
				t.Errorf("%s: %q had gone out", name, s)
			}
		}
		rest, _ := io.ReadAll(r.Body)
		r.Body.Close()
		o := b.outcome()
		if !strings.HasPrefix(string(rest), c.after) || calls != 1 || (o.Err == nil) != (c.outcome == "") || o.Err != nil && o.Err.Code != c.outcome {
			t.Errorf("%s: %d calls, then %q, outcome %+v", name, calls, rest, o)
		}
		if c.err != nil && c.stream && strings.Contains(string(rest), "[DONE]") {
			t.Errorf("%s: %q", name, rest)
		}
	}
}
