package llamacpp

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/grammar"
	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

func patterned(p string) string {
	b, _ := json.Marshal(fields{"type": "object", "required": []string{"x"}, "properties": fields{"x": fields{"type": "string", "pattern": p}}})
	return string(b)
}

// A client's schema ends or is refused; others' answers do not wait for it.
func TestExplosiveSchemasHarmNobody(t *testing.T) {
	_, web := open(t, Config{Slots: 2, Context: 512})
	for p, want := range map[string]int{
		`^(.?){200}$`: 200, `^((a?){20}){20}b$`: 200, `^(a?){100}a{100}$`: 200, `^[a-z]{1,64}$`: 200, `^\d{4}-\d\d-\d\d$`: 200,
		`^(.?b?){100}$`: 400, `^((a?b?){20}){20}c$`: 400,
	} {
		status, r := ask(t, web.URL, "/v1/chat/completions", question("Hi", fields{"temperature": 1, "max_tokens": 40, "response_format": schema(patterned(p))}))
		if status != want || want == 400 && (r.Error == nil || r.Error.Param != "response_format" || !strings.Contains(r.Error.Message, "#/properties/x")) {
			t.Errorf("%s: %d %+v", p, status, r.Error)
		}
		for strict, want := range map[bool]int{false: 200, true: want} {
			status, r := tooled(t, web.URL, question("Hi", fields{"temperature": 1, "max_tokens": 40, "tool_choice": "required", "tools": []fields{
				{"type": "function", "function": fields{"name": "f", "strict": strict, "parameters": json.RawMessage(patterned(p))}},
			}}))
			if status != want {
				t.Errorf("%s as a tool's, strict %v: %d %+v", p, strict, status, r.Error)
			}
		}
	}
	if _, r := ask(t, web.URL, "/v1/chat/completions", question("Say the alphabet.", nil)); r.text() != alphabet {
		t.Errorf("afterwards %q", r.text())
	}
}

// What only shows while an answer is written ends that answer.
func TestGuardEndsARequest(t *testing.T) {
	e, _ := open(t, Config{Slots: 1, Context: 256})
	var kinds []string
	for range 700 {
		kinds = append(kinds, `{"type":"string","maxLength":`+string(rune('1'+len(kinds)%9))+`}`)
	}
	text, err := grammar.Schema(json.RawMessage(`{"type":"object","required":["a long name"],"properties":{"a long name":{"anyOf":[` + strings.Join(kinds, ",") + `]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newChooser(openai.Sampling{}, text, nil, e.model)
	if err != nil {
		t.Fatal(err)
	}
	defer c.free()
	for _, token := range e.model.tokenize(`{"a long name":"x`, false, false) {
		if err = c.replay(token); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), grammar.ErrAmbiguous.Error()) {
		t.Errorf("%v", err)
	}
}

// The guard keeps pace with llama.cpp: what the one allows is what the other does.
func TestGuardFollowsLlama(t *testing.T) {
	e, _ := open(t, Config{Slots: 1, Context: 256})
	for _, s := range []string{`{}`, `{"type":"string","maxLength":10000}`, `{"enum":["red","reddish","Grüße","Grün",""]}`, `{"type":"array","items":{"enum":["a","ab"]},"maxItems":1000}`} {
		text, err := grammar.Schema(json.RawMessage(s))
		if err != nil {
			t.Fatal(err)
		}
		for _, answer := range []string{`"red"`, `"reddish"`, `"Grüße"`, `"Grüne"`, `""`, `["a","ab"]`, `["abc"]`, `{"a": [1, true]}`, `nul1`, `"` + strings.Repeat("é", 100) + `"`} {
			guard, err := grammar.NewGuard(text)
			sampler := llama.SamplerInitGrammar(e.model.vocab, text, "root")
			if err != nil || sampler == 0 {
				t.Fatalf("%s: %v", s, err)
			}
			c := &chooser{grammar: sampler, model: e.model}
			for _, token := range e.model.tokenize(answer, false, false) {
				piece := e.model.piece(token)
				takes := possible(c.apply(sampler, []llama.TokenData{{Id: token}})[0])
				if guard.Accept(piece); takes != guard.Follows() && utf8.Valid(piece) { // of a part of a character llama.cpp knows more
					t.Errorf("%s: %q at %q: llama.cpp takes it: %v", s, answer, piece, takes)
				}
				if !takes {
					break
				}
				llama.SamplerAccept(sampler, token)
			}
			llama.SamplerFree(sampler)
		}
	}
}
