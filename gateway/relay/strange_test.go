package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func aPage(pieces ...any) play { return play{status: 200, kind: "text/html", pieces: pieces} }

// TestNoAnswer: what an engine answers with status 200 that is none is never passed on: another instance is asked,
// and where none does better it is an error, whose engine is to blame.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p      play
		stream bool
		want   string
	}{
		"a page":                 {aPage("<html>It works!</html>"), false, "(text/html): <html>It works!"},
		"a page for a stream":    {aPage("<html>It works!</html>"), true, "(text/html): <html>It works!"},
		"one piece for a stream": {says(200, answer), true, "(application/json): {"},
		"nothing":                {says(200, ""), false, "(application/json): nothing"},
		"a list":                 {says(200, "[]"), false, "(application/json): []"},
		"an error":               {says(200, ` {"object":"error","message":"no"}`), false, `{\"object\":\"error\"`},
		"no text":                {says(200, `{"a":"`+"\xff"+`"}`), false, `{\"a\":\"?`},
		"not 200":                {says(204, ""), false, "nothing"},
		"elsewhere":              {says(302, ""), false, "status 302: nothing"},
	} {
		b := newBench(t, "a b")
		b.prepare = func(x *Exchange) { x.Object = true }
		b.plays("a", c.p)
		good := says(200, answer)
		if good.kind = "text/plain"; c.stream { // the type that it gives is not what counts
			good = streams(piece("x") + done)
		}
		b.plays("b", good)
		if res, body := b.get(c.stream); res.StatusCode != 200 || b.tried() != "a b" || strings.Contains(body, "html") || !c.stream && res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %q %v, tried %s", name, res.StatusCode, body, res.Header, b.tried())
		}
		b = newBench(t, "a")
		b.prepare = func(x *Exchange) { x.Object = true }
		b.plays("a", c.p)
		res, body := b.get(c.stream)
		if o := b.outcome(); res.StatusCode != 502 || !strings.Contains(body, c.want) || o.Err == nil || o.Err.Code != spec.CodeUpstream {
			t.Errorf("%s: %d %q, outcome %+v", name, res.StatusCode, body, o)
		}
	}
}

// TestNoChoices: a chat or a completion without them is no answer, whatever else it says.
func TestNoChoices(t *testing.T) {
	t.Parallel()
	for _, path := range []string{chatPath, completionPath, "/v1/embeddings"} {
		b := newBench(t, "a b")
		b.prepare = func(x *Exchange) { x.Object, x.Call.Path = true, path }
		b.plays("a", says(200, `{"id":"a","usage":{"choices":[]}}`))
		b.plays("b", says(200, `{"id":"b","choices":[]}`))
		want := "a b"
		if path == "/v1/embeddings" {
			want = "a"
		}
		if res, body := b.get(false); res.StatusCode != 200 || b.tried() != want {
			t.Errorf("%s: %d %s, tried %s", path, res.StatusCode, body, b.tried())
		}
	}
}

// TestGarbledStreams end with an error event, without what is garbled and what follows it, however it is cut.
func TestGarbledStreams(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"data: <html>\n\n", "data: {\"choices\":[{\"delta\":\n\n", "<h1>Bad gateway</h1>\n\n", "data: 5\n\n", "data: {\"x\":1}\n\n", piece("\xff\xfe")} {
		text := piece("x") + bad + piece("y") + done
		for cut := 0; cut < len(text); cut += 13 {
			b := newBench(t, "a")
			b.prepare = func(x *Exchange) { x.Call.Path = chatPath }
			b.plays("a", streams(text[:cut], time.Millisecond, text[cut:]))
			_, body := b.get(true)
			if before := errorEvent(t, body, spec.CodeUpstream); before != piece("x") || !strings.Contains(body, "no piece of an answer") {
				t.Errorf("%q cut at %d: %q", bad, cut, body)
			}
			if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeUpstream {
				t.Errorf("%q: %+v", bad, o)
			}
		}
	}
}

// TestGarbledStreamsGoOnElsewhere where they can: here nothing of the answer had come.
func TestGarbledStreamsGoOnElsewhere(t *testing.T) {
	b := newBench(t, "a b")
	b.prepare = func(x *Exchange) { x.Call.Path = chatPath }
	b.plays("a", streams("data: <html>\n\n"))
	b.plays("b", streams(piece("x")+stopped+done))
	_, body := b.get(true)
	if text, seams := unseamed(body); text != piece("x")+stopped+done || seams != 1 || b.outcome().Err != nil {
		t.Errorf("%q", body)
	}
}

// TestUnaskedUsage: an engine that tells the usage of every stream has it counted, and not passed on to who has not asked.
func TestUnaskedUsage(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: piece("x") + stopped + done, `{"stream_options":{"include_usage":false}}`: piece("x") + stopped + done, `{"stream_options":{"include_usage":true}}`: piece("x") + stopped + usage + done,
	} {
		b := newBench(t, "a")
		b.prepare = func(x *Exchange) { x.Call.Path, x.Body = chatPath, []byte(body) }
		b.plays("a", streams(piece("x")+stopped+usage+done))
		if _, got := b.get(true); got != want {
			t.Errorf("%s: %q", body, got)
		}
		if o := b.outcome(); !o.HasUsage || o.Usage.Completion != 2 {
			t.Errorf("%s: %+v", body, o)
		}
	}
}

// TestNoSound: a page is none either.
func TestNoSound(t *testing.T) {
	b := rawBench(t, aPage("<html>It works!</html>"))
	b.plays("b", aPage("<html>It works!</html>"))
	if res, body := b.get(false); res.StatusCode != 502 || !strings.Contains(body, "(text/html): <html>") {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	b = rawBench(t, aPage("<html>It works!</html>"))
	b.plays("b", sounds("x"))
	if _, body := b.get(false); body != "x" {
		t.Errorf("%q", body)
	}
}
