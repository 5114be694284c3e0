package relay

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func sounds(pieces ...any) play { return play{status: 200, kind: "audio/mpeg", pieces: pieces} }

func rawBench(t *testing.T, plays ...play) *bench {
	b := newBench(t, "a b", func(c *Config) { c.Tries = 2 })
	b.plays("a", plays...)
	b.prepare = func(x *Exchange) { x.Raw = true }
	return b
}

// TestRawPassesAsItComes: sound goes out before it has ended, by its own type.
func TestRawPassesAsItComes(t *testing.T) {
	b := rawBench(t, sounds("\x00one", 100*time.Millisecond, "two\xff"))
	res, err := b.ask(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "\x00one" {
		t.Fatalf("%q, %v", first, err)
	}
	if b.streamsOpen() != 1 {
		t.Error("the first bytes came when all was over")
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || string(rest) != "two\xff" || res.Header.Get("Content-Type") != "audio/mpeg" || res.StatusCode != 200 {
		t.Errorf("%q, %v, %v", rest, err, res.Header)
	}
	if o := b.outcome(); o.Err != nil || o.Gone || o.Attempts != 1 {
		t.Errorf("%+v", o)
	}
}

// TestRawIsTriedAgain before its first byte, and its errors come whole.
func TestRawIsTriedAgain(t *testing.T) {
	b := rawBench(t, play{err: errConnect})
	b.plays("b", sounds("x"))
	if _, body := b.get(false); body != "x" || b.outcome().Attempts != 2 {
		t.Errorf("%q after %s", body, b.tried())
	}
	b = rawBench(t, says(400, `{"error":"no such voice"}`))
	if res, body := b.get(false); res.StatusCode != 400 || !strings.HasPrefix(body, `{"error":{"message":"no such voice",`) {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	b = rawBench(t, sounds()) // nothing at all is an answer
	if res, body := b.get(false); res.StatusCode != 200 || body != "" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

// TestRawBreaksAreSeen: nobody takes half an answer for a whole one.
func TestRawBreaksAreSeen(t *testing.T) {
	b := rawBench(t, sounds("x", 20*time.Millisecond, errBroke))
	res, err := b.ask(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err == nil || string(body) != "x" {
		t.Errorf("%q, %v", body, err)
	}
	if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeStreamBroken {
		t.Errorf("%+v", o)
	}
	b = rawBench(t, streams("data: 1\n\n", 20*time.Millisecond, errBroke))
	if res, body := b.get(true); !strings.HasPrefix(body, "data: 1\n\nevent: error\n") || res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%q", body)
	}
}

// TestRawEventsAreWhole: a stream that ends inside an event has broken off, and one without any is asked for again.
func TestRawEventsAreWhole(t *testing.T) {
	b := rawBench(t, streams("data: 1\n\n", 20*time.Millisecond, "data: {\"tex"))
	if _, body := b.get(true); !strings.HasPrefix(body, "data: 1\n\nevent: error\n") || strings.Contains(body, "tex\n") {
		t.Errorf("%q", body)
	}
	if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeStreamBroken {
		t.Errorf("%+v", o)
	}
	for _, begun := range []string{"", "data: {\"tex"} {
		b := rawBench(t, streams(begun))
		b.plays("b", streams("data: 1\n\n"))
		if _, body := b.get(true); body != "data: 1\n\n" || b.outcome().Attempts != 2 {
			t.Errorf("%q: %q after %s", begun, body, b.tried())
		}
	}
}

// told tells whether the gateway tells of the engine's words "it broke", behind what came before.
func told(body, before string) bool {
	return strings.HasPrefix(body, before+"event: error\ndata: {\"error\":{\"message\":\"The engine ended the stream with an error: it broke\",\"type\":\"api_error\"") &&
		strings.Contains(body, `"code":"engine_error"`) && strings.Contains(body, `"request_id":"`) && strings.Count(body, "data: ") == 1+strings.Count(before, "data: ")
}

// TestRawErrorsAreInOneForm: an engine's own error event, of whatever API, is told as the gateway tells all of them,
// and nothing passes on behind it.
func TestRawErrorsAreInOneForm(t *testing.T) {
	for _, event := range []string{
		"data: {\"error\":{\"message\":\"it broke\",\"type\":\"InternalServerError\",\"code\":500}}\n\n",              // vLLM's
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"message\":\"it broke\"}}\n\n", // of images, and of audio
		"data: {\"type\":\"error\",\"message\":\"it broke\"}\r\n\r\n",
		"event: error\r\ndata: {\"message\":\"it broke\"}\r\n\r\n",
		"data: {\"object\":\"error\",\"message\":\"it broke\"}\n\n",
	} {
		for _, rest := range []string{"", "data: [DONE]\n\n", "data: 3\n\ndata: [DONE]\n\n"} {
			b := rawBench(t, streams("data: {\"text\":\"error\"}\n\n", 20*time.Millisecond, "data: 2\n\n"+event[:9], 20*time.Millisecond, event[9:]+rest))
			_, body := b.get(true)
			if before := "data: {\"text\":\"error\"}\n\ndata: 2\n\n"; !told(body, before) {
				t.Errorf("%q: %q", event+rest, body)
			}
			if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeUpstream {
				t.Errorf("%q: %+v", event, o)
			}
		}
		b := rawBench(t, streams("data: 1\n\n", 20*time.Millisecond, strings.TrimRight(event, "\r\n"))) // without the empty line
		if _, body := b.get(true); !told(body, "data: 1\n\n") {
			t.Errorf("%q at the end: %q", event, body)
		}
	}
}

// TestRawErrorsAtOnce: with nothing passed on before, another instance is asked, and else the error is the answer's.
func TestRawErrorsAtOnce(t *testing.T) {
	const event = "event: error\ndata: {\"error\":{\"message\":\"it broke\"}}\n\n"
	b := rawBench(t, streams(event))
	b.plays("b", streams("data: 1\n\n"))
	if _, body := b.get(true); body != "data: 1\n\n" || b.outcome().Attempts != 2 {
		t.Errorf("%q after %s", body, b.tried())
	}
	b = rawBench(t, streams(event))
	b.plays("b", streams(event))
	if res, body := b.get(true); res.StatusCode != 502 || !strings.Contains(body, `"code":"engine_error"`) || !strings.Contains(body, "it broke") {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	b = rawBench(t, says(200, `{"error":{"message":"it broke"}}`))
	b.plays("b", says(200, `{"error":{"message":"it broke"}}`))
	if res, body := b.get(true); res.StatusCode != 502 || !strings.Contains(body, `"code":"engine_error"`) {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	b = rawBench(t, says(200, `{"text":"no stream after all"}`))
	if res, body := b.get(true); res.StatusCode != 200 || body != `{"text":"no stream after all"}` {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

// TestRawEventsOfAnySize pass on, also such as nobody looks at whole, and a break within one is told behind it.
func TestRawEventsOfAnySize(t *testing.T) {
	large := "data: {\"b64_json\":\"" + strings.Repeat("A", 3<<20) + "\"}\n\n"
	whole := "data: 1\n\n" + large + "data: 2\n\n" + "data: [DONE]\n\n"
	b := rawBench(t, streams(whole[:1000], 10*time.Millisecond, whole[1000:2<<20], whole[2<<20:]))
	if _, body := b.get(true); body != whole {
		t.Errorf("%d bytes, want %d", len(body), len(whole))
	}
	b = rawBench(t, streams(large[:2<<20], 20*time.Millisecond, errBroke))
	if _, body := b.get(true); !strings.Contains(body, "A\n\nevent: error\ndata: {\"error\"") {
		t.Errorf("%q", body[max(0, len(body)-500):])
	}
	b = rawBench(t, streams("data: 1\n\ndata: {\"b64", 20*time.Millisecond, errBroke))
	if _, body := b.get(true); !strings.HasPrefix(body, "data: 1\n\nevent: error\ndata: {\"error\"") {
		t.Errorf("%q", body)
	}
}

func TestRawIsSettled(t *testing.T) {
	for _, failure := range []error{nil, errors.New("disk full")} {
		b := rawBench(t, sounds("x", "y"))
		settled := 0
		b.prepare = func(x *Exchange) { x.Raw, x.Settle = true, func(*Outcome) error { settled++; return failure } }
		res, err := b.ask(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != "xy" || (err == nil) != (failure == nil) {
			t.Errorf("%v: %q, %v", failure, body, err)
		}
		if o := b.outcome(); (o.Err == nil) != (failure == nil) || settled != 1 {
			t.Errorf("%v: %+v, settled %d times", failure, o, settled)
		}
	}
}

func TestRawStopsWithItsClient(t *testing.T) {
	b := rawBench(t, play{status: 200, kind: "audio/mpeg", pieces: []any{"x", 20 * time.Millisecond}, loopLast: true})
	res, err := b.ask(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(res.Body, make([]byte, 1))
	res.Body.Close()
	eventually(t, "the engine's stop", func() bool { return b.streamsOpen() == 0 })
	if o := b.outcome(); !o.Gone {
		t.Errorf("%+v", o)
	}
}

// TestRawOverHTTP10 comes in one piece, or as an error.
func TestRawOverHTTP10(t *testing.T) {
	for _, c := range []struct {
		last   any
		status int
	}{{"y", 200}, {errBroke, 502}} {
		b := rawBench(t, sounds("x", c.last))
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != c.status || c.status == 200 && string(body) != "xy" {
			t.Errorf("%d %q, %v", res.StatusCode, body, err)
		}
		res.Body.Close()
	}
}

// TestRawEventsTornAtTheirEnd: where one that is too large is passed on in pieces, and the cut is between the ends
// of its last two lines, what follows is an event of its own and is looked at.
func TestRawEventsTornAtTheirEnd(t *testing.T) {
	const next = "event: error\ndata: {\"error\":{\"message\":\"it broke\"}}\n\n"
	for _, end := range []string{"\n\n", "\r\n\r\n"} {
		for cut := range len(end) {
			x := &Exchange{contentType: eventStream}
			b := &rawBody{x: x}
			passed, large := 0, "data: "+strings.Repeat("A", maxEvent)+end
			come := func(text string) {
				x.buf = append(x.buf[b.ready:], text...)
				b.ready = 0
				b.sift()
				passed += b.ready
			}
			come(large[:len(large)-len(end)+cut])
			if !b.torn || passed < maxEvent {
				t.Fatalf("%d bytes of a large event have passed", passed)
			}
			come(end[cut:] + next)
			if passed != len(large) || string(x.buf[b.ready:]) != next {
				t.Errorf("cut %d bytes into its end %q: %q is left to be looked at", cut, end, x.buf[b.ready:])
			}
		}
	}
}
