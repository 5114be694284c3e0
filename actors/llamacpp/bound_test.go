package llamacpp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/cluster/spec"
)

// What cannot fit is refused by its bytes, before llama.cpp sees it: of 15 MB it would make gigabytes.
func TestTextsThatCannotFitAreNotTokenised(t *testing.T) {
	e, web := open(t, Config{Slots: 1})
	fits := strings.Repeat("a ", (e.context*e.model.cover.longest)/2+2) // looked at, but hopeless
	if len(fits) > most(e.context) {
		t.Fatalf("the cover of %d bytes tells nothing", e.model.cover.longest)
	}
	huge := strings.Repeat("a ", 1<<20)
	mark := "<|im_end|>"
	for name, c := range map[string]struct {
		path string
		body fields
	}{
		"chat":                {"/v1/chat/completions", question(huge, nil)},
		"chat, hopeless":      {"/v1/chat/completions", question(fits, nil)},
		"chat in parts":       {"/v1/chat/completions", question(fits+mark, nil)},
		"chat with tools":     {"/v1/chat/completions", question(fits, fields{"tools": []fields{weather}})},
		"tools":               {"/v1/chat/completions", question("Hello", fields{"tools": []fields{{"type": "function", "function": fields{"name": "f", "description": huge}}}})},
		"completion":          {"/v1/completions", fields{"prompt": huge}},
		"completion, smaller": {"/v1/completions", fields{"prompt": fits}},
		"embedding":           {"/v1/embeddings", fields{"input": []string{"a", fits}}},
		"embedding, huge":     {"/v1/embeddings", fields{"input": huge}},
		"count":               {"/tokenize", question(huge, nil)},
		"count of a prompt":   {"/tokenize", fields{"prompt": huge}},
	} {
		status, r := ask(t, web.URL, c.path, c.body)
		if status != http.StatusBadRequest || r.Error == nil || r.Error.Code != string(spec.CodeContextLength) {
			t.Errorf("%s: %d %+v", name, status, r.Error)
		}
	}
	if status, _ := ask(t, web.URL, "/v1/completions", fields{"prompt": "A", "max_tokens": 1}); status != http.StatusOK {
		t.Errorf("the next: %d", status)
	}
}

// A text that is large but not too large is counted, alone, and the engine shows that it is at work.
func TestALargeTextIsCounted(t *testing.T) {
	e, _ := open(t, Config{Slots: 1})
	r := &openai.Generation{Kind: openai.Completion, Prompt: strings.Repeat("a ", most(e.context)/2)}
	if err := e.bounded(r); err != nil {
		t.Fatal(err)
	}
	before, began := e.Load().Totals.Steps, time.Now()
	in, err := e.input(t.Context(), r, 0)
	if err != nil || len(in.prompt) < len(r.Prompt)/4 {
		t.Fatalf("%d tokens: %v", len(in.prompt), err)
	}
	steps, took := e.Load().Totals.Steps-before, time.Since(began)
	if took > 10*signEvery && steps < 2 {
		t.Errorf("%d signs of life in %v", steps, took)
	}
	if r.Prompt += "a"; e.bounded(r) == nil {
		t.Error("a byte more is taken")
	}
}

// Large texts take turns, show signs of life, and those who wait can leave.
func TestLargeTextsTakeTurns(t *testing.T) {
	e, _ := open(t, Config{Slots: 1})
	var mu sync.Mutex
	inside, most := 0, 0
	var all sync.WaitGroup
	before := e.Load().Totals.Steps
	for range 3 {
		all.Go(func() {
			err := e.reading(t.Context(), heavyBytes+1, func() error {
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				until(t, "a sign of life", func() bool { return e.Load().Totals.Steps > before })
				mu.Lock()
				inside--
				mu.Unlock()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
	held, free := make(chan struct{}), make(chan struct{})
	all.Go(func() {
		_ = e.reading(t.Context(), heavyBytes+1, func() error { close(held); <-free; return nil })
	})
	<-held
	if err := e.reading(t.Context(), heavyBytes, func() error { return nil }); err != nil {
		t.Errorf("a small one: %v", err)
	}
	e.cancel()
	var public *spec.Error
	if err := e.reading(t.Context(), heavyBytes+1, func() error { return nil }); !errors.As(err, &public) || public.Code != spec.CodeDraining {
		t.Errorf("while the engine stops: %v", err)
	}
	close(free)
	all.Wait()
}

// No text has fewer tokens than the cover says.
func TestTheCoverIsSound(t *testing.T) {
	e, _ := open(t, Config{Slots: 1})
	if e.model.cover.longest < 4 || e.model.cover.strips {
		t.Fatalf("%+v", e.model.cover)
	}
	var pieces []string
	for token := range e.model.tokens {
		if text := e.model.pieceOf(llama.Token(token), true); len(text) > 0 {
			pieces = append(pieces, string(text))
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(pieces), rapid.String(),
			rapid.SampledFrom([]string{" ", "\n", "<|im_end|>", "\u00e4", "\U0001f600"}))).Draw(r, "text"), "")
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?")
		parse := rapid.Bool().Draw(r, "parse")
		if n := len(e.model.tokenize(text, false, parse)); e.model.cover.exceeds(text, n) {
			r.Fatalf("%q has %d tokens, of %d bytes at most", text, n, e.model.cover.longest)
		}
	})
}

func TestCover(t *testing.T) {
	for _, c := range []struct {
		cover  cover
		text   string
		tokens int
		want   bool
	}{
		{cover{4, false}, "aaaabbbb", 2, false},
		{cover{4, false}, "aaaabbbbc", 2, true},
		{cover{4, true}, "aaaa   bbbb\n", 2, false}, // a token may have swallowed the spaces
		{cover{4, true}, "aaaa   bbbb\nc", 2, true},
		{cover{4, true}, strings.Repeat("\u00a0", 5), 2, true}, // not the white space that is swallowed
		{cover{}, strings.Repeat("a", 1000), 1, false},
	} {
		if got := c.cover.exceeds(c.text, c.tokens); got != c.want {
			t.Errorf("%+v %q: %v", c.cover, c.text, got)
		}
	}
	seen := map[rune]bool{}
	for b := range 256 {
		seen[bpeRune(b)] = true
	}
	if len(seen) != 256 || bpeRune(' ') != '\u0120' || bpeRune('\n') != '\u010a' || bpeRune('a') != 'a' || bpeRune(0xad) != '\u0143' {
		t.Error(fmt.Sprint(len(seen)))
	}
}
