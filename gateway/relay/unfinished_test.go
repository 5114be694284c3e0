package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// at is a piece of the choice at that index, which ends it where why is given.
func at(index, text, why string) string {
	if why = `"` + why + `"`; why == `""` {
		why = "null"
	}
	return `data: {"choices":[{"index":` + index + `,"delta":{"content":"` + text + `"},"finish_reason":` + why + "}]}\n\n"
}

// TestAnswersHaveToFinish: neither the end mark nor the end of the stream makes a whole answer of one
// whose choices have not all ended.
func TestAnswersHaveToFinish(t *testing.T) {
	t.Parallel()
	x, two := piece("x"), `{"n":2}`
	bothEnd := `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"length"}]}` + "\n\n"
	for name, c := range map[string]struct {
		body, text string
		end        any // nil: as the engine's stream ends properly
		can        spec.Ability
		whole      bool
	}{
		"[DONE] behind the finish":         {`{}`, x + stopped + done, nil, 0, true},
		"[DONE] behind text":               {`{}`, x + done, nil, 0, false},
		"no [DONE] behind the finish":      {`{}`, x + stopped, nil, 0, true},
		"broken behind the finish":         {`{}`, x + stopped, errBroke, 0, true},
		"an empty finish in each":          {`{}`, strings.Replace(at("0", "x", "-"), `"-"`, `""`, 1) + done, nil, 0, false},
		"one of two, broken":               {two, at("0", "a", "") + at("1", "b", "") + at("0", "", "stop") + at("1", "half of", ""), errBroke, 0, false},
		"one of two, closed":               {two, at("0", "a", "") + at("1", "b", "") + at("0", "", "stop"), nil, 0, false},
		"one of two, [DONE]":               {two, at("0", "a", "stop") + at("1", "b", "") + done, nil, 0, false},
		"the other is not begun":           {two, at("0", "a", "stop"), errBroke, 0, false},
		"an engine that has but one":       {two, at("0", "a", "stop") + done, nil, 0, true},
		"an engine that has what is asked": {two, at("0", "a", "stop") + done, nil, spec.AbleTokens, false},
		"both":                             {two, at("0", "a", "stop") + at("1", "b", "stop"), errBroke, 0, true},
		"both in one event":                {two, bothEnd, errBroke, 0, true},
		"one of two in one event":          {two, strings.Replace(bothEnd, `"length"`, "null", 1) + done, nil, 0, false},
		"of a second prompt":               {`{"prompt":["a","b"]}`, at("0", "a", "stop"), errBroke, 0, false},
		"of far away":                      {`{}`, at("0", "a", "stop") + at("99999999", "b", "") + done, nil, 0, false},
		"in a form that is not read":       {`{}`, x + "event: chunk\n" + stopped + done, nil, 0, true},
	} {
		for _, path := range []string{chatPath, completionPath} {
			if strings.Contains(c.body, "prompt") && path == chatPath {
				continue
			}
			for _, pause := range []bool{true, false} { // [DONE] in a piece of its own or not
				b := newBench(t, "a")
				b.can = c.can
				b.tell()
				b.prepare = func(x *Exchange) { x.Call.Path, x.Body = path, []byte(c.body) }
				pieces := []any{c.text}
				if cut := len(strings.TrimSuffix(c.text, done)); pause {
					pieces = []any{c.text[:cut], 2 * time.Millisecond, c.text[cut:]}
				}
				if c.end != nil {
					pieces = append(pieces, c.end)
				}
				b.plays("a", streams(pieces...))
				_, body := b.get(true)
				told := strings.TrimSuffix(c.text, done)
				if c.whole {
					if body != told+done || b.outcome().Err != nil {
						t.Errorf("%s: %q", name, body)
					}
				} else if before := errorEvent(t, body, spec.CodeStreamBroken); before != told || b.outcome().Err == nil {
					t.Errorf("%s: %q", name, body)
				}
			}
		}
	}
}

// TestOnlyAnEndMark is no answer: another instance is asked, and where none does better it is an error.
func TestOnlyAnEndMark(t *testing.T) {
	for _, empty := range []string{done, ": hello\n\n" + done, strings.TrimSpace(done)} {
		for _, path := range []string{chatPath, completionPath} {
			b := newBench(t, "a b")
			b.prepare = func(x *Exchange) { x.Call.Path = path }
			b.plays("a", streams(empty))
			b.plays("b", streams(piece("x")+stopped+done))
			if _, body := b.get(true); body != piece("x")+stopped+done || b.tried() != "a b" || b.outcome().Err != nil {
				t.Errorf("%q: %q, tried %s", empty, body, b.tried())
			}
			b = newBench(t, "a")
			b.prepare = func(x *Exchange) { x.Call.Path = path }
			b.plays("a", streams(empty))
			if res, body := b.get(true); res.StatusCode != spec.CodeStreamBroken.Lookup().Status || !strings.Contains(body, "before its answer was complete") {
				t.Errorf("%q: %d %q", empty, res.StatusCode, body)
			}
		}
	}
}

// TestUnfinishedGoesOnElsewhere, from where it has come to.
func TestUnfinishedGoesOnElsewhere(t *testing.T) {
	role := `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	for begun, rest := range map[string]string{piece("x"): piece("y"), role: piece("y")} {
		for _, end := range []string{done, strings.TrimSpace(done)} {
			b := newBench(t, "a b")
			b.can = spec.AbleContinue
			b.tell()
			b.prepare = func(x *Exchange) {
				x.Call.Path, x.Body = chatPath, []byte(`{"messages":[{"role":"user","content":"x"}]}`)
			}
			b.plays("a", streams(begun+end))
			b.plays("b", streams(rest+stopped+done))
			_, body := b.get(true)
			if text, seams := unseamed(body); text != begun+rest+stopped+done || seams != 1 || b.outcome().Err != nil || b.tried() != "a b" {
				t.Errorf("%q%q: %q, tried %s", begun, end, body, b.tried())
			}
		}
	}
}
