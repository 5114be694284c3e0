package llamacpp

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/grammar"
)

func schema(text string) fields {
	return fields{"type": "json_schema", "json_schema": fields{"name": "x", "strict": true, "schema": json.RawMessage(text)}}
}

// The shipped model has never seen a schema, and is hot besides: what comes out must conform all the same.
func TestSchemaIsKeptTo(t *testing.T) {
	_, web := open(t, Config{Slots: 4, Context: 1024})
	const person = `{"type":"object","properties":{"name":{"type":"string","maxLength":8},"age":{"type":"integer","minimum":18,"maximum":99},
		"tags":{"type":"array","items":{"enum":["red","green"]},"minItems":1,"maxItems":3}},"required":["name","age","tags"],"additionalProperties":false}`
	for seed := range 12 {
		status, r := ask(t, web.URL, "/v1/chat/completions", question("Who are you?", fields{
			"temperature": float64(seed%3) * 0.9, "seed": seed, "max_tokens": 400, "response_format": schema(person),
		}))
		var p struct {
			Name *string
			Age  int
			Tags []string
		}
		d := json.NewDecoder(strings.NewReader(r.text()))
		d.DisallowUnknownFields()
		err := d.Decode(&p)
		if status != 200 || r.finish() != "stop" || err != nil || p.Name == nil || p.Age < 18 || p.Age > 99 || len(p.Tags) < 1 || len(p.Tags) > 3 {
			t.Fatalf("seed %d: %d %q %s: %v, %+v", seed, status, r.text(), r.finish(), err, r.Error)
		}
	}
	for _, f := range []fields{{"type": "json_object"}, schema(`{"type":"array","items":{"type":"number"},"maxItems":3}`)} {
		status, r := ask(t, web.URL, "/v1/chat/completions", question("Say the alphabet.", fields{"max_tokens": 900, "response_format": f}))
		if status != 200 || r.finish() == "stop" && !json.Valid([]byte(r.text())) {
			t.Errorf("%v: %d %q %+v", f, status, r.text(), r.Error)
		}
	}
	_, r := ask(t, web.URL, "/v1/completions", fields{"prompt": "x", "max_tokens": 60, "response_format": schema(`{"type":"string","pattern":"^[0-9]{4}-[ab]$"}`)})
	if !regexp.MustCompile(`^"[0-9]{4}-[ab]"$`).MatchString(r.text()) {
		t.Errorf("by the pattern %q", r.text())
	}
}

// llama.cpp must take whatever the converter makes.
func TestGrammarsAreTaken(t *testing.T) {
	e, web := open(t, Config{Slots: 1, Context: 256})
	for _, s := range []string{
		`{}`, `{"type":"string","minLength":900,"maxLength":1000}`, `{"type":"string","minLength":1500,"maxLength":100000}`, `{"type":"array","minItems":3,"maxItems":1000}`, `{"format":"date-time"}`, `{"format":"uuid"}`,
		`{"type":"integer","minimum":-123456,"maximum":987654321}`, `{"type":"string","pattern":"^(\\d{3}-){2}[^\"\\\\x]+é?$"}`,
		`{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"a b":{"$ref":"#/$defs/n"},"Grüße":{"const":"\"\\\n€😀"}}}}}`,
		`{"type":"object","properties":{"a":{},"b":{},"c":{},"d":{}},"required":["b"]}`, `{"anyOf":[{"type":"null"},{"type":"number"}]}`,
	} {
		text, err := grammar.Schema(json.RawMessage(s))
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		sampler := llama.SamplerInitGrammar(e.model.vocab, text, "root")
		if sampler == 0 {
			t.Errorf("%s was not taken:\n%s", s, text)
		}
		llama.SamplerFree(sampler)
	}
	// a rule that begins with itself ends in nothing
	status, r := ask(t, web.URL, "/v1/chat/completions", question("x", fields{
		"response_format": schema(`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}}`),
	}))
	if status != 400 || r.Error == nil || r.Error.Param != "response_format" {
		t.Errorf("%d %+v", status, r.Error)
	}
}

func TestLogprobs(t *testing.T) {
	_, web := open(t, Config{Slots: 2})
	_, r := ask(t, web.URL, "/v1/chat/completions", question("Say the alphabet.", fields{"logprobs": true, "top_logprobs": 3}))
	if len(r.Choices) != 1 || r.Choices[0].Logprobs == nil || len(r.Choices[0].Logprobs.Content) != 26 {
		t.Fatalf("%+v", r)
	}
	text := ""
	for i, c := range r.Choices[0].Logprobs.Content {
		text += c.Token
		if len(c.Top) != 3 || c.Top[0].Token != c.Token || c.Logprob != c.Top[0].Logprob || c.Logprob > 0 || c.Logprob < -1 || c.Top[1].Logprob < c.Top[2].Logprob {
			t.Errorf("token %d: %+v", i, c)
		}
		if len(c.Bytes) != len(c.Token) {
			t.Errorf("token %q has the bytes %v", c.Token, c.Bytes)
		}
	}
	if text != alphabet {
		t.Errorf("the tokens are %q", text)
	}
	streamedText := ""
	for _, e := range streamed(t, web.URL, question("Say the alphabet.", fields{"logprobs": true})) {
		for _, c := range e.Choices {
			if c.Logprobs == nil {
				continue
			}
			for _, l := range c.Logprobs.Content {
				streamedText += l.Token
			}
		}
	}
	if streamedText != alphabet {
		t.Errorf("the stream's tokens are %q", streamedText)
	}
	// what a stop string took away has no scores
	_, r = ask(t, web.URL, "/v1/chat/completions", question("Say the alphabet.", fields{"logprobs": true, "stop": " D E"}))
	if got := len(r.Choices[0].Logprobs.Content); got != 3 || r.text() != "A B C" {
		t.Errorf("%d scores of %q", got, r.text())
	}
	_, r = ask(t, web.URL, "/v1/completions", fields{"prompt": "A B C D", "temperature": 0, "max_tokens": 3, "logprobs": 2})
	if l := r.Choices[0].Logprobs; l == nil || len(l.Tokens) != 3 || strings.Join(l.Tokens, "") != r.text() || len(l.Top[0]) != 2 || l.Offsets[1] != len(l.Tokens[0]) || len(l.Scores) != 3 {
		t.Errorf("%q: %+v", r.text(), l)
	}
}

func TestScoresAddUpToOne(t *testing.T) {
	logits := []float32{1, 3, 3, -2, float32(math.Inf(-1)), 0}
	piece := func(t llama.Token) []byte { return []byte{byte('a' + t)} }
	got := scored(logits, 5, 6, piece)
	sum, order := 0.0, ""
	for _, s := range got.Top {
		sum += math.Exp(s.Logprob)
		order += string(s.Token)
	}
	if math.Abs(sum-1) > 1e-9 || order != "bcafde" || string(got.Token) != "f" {
		t.Errorf("%+v: %q, sum %f", got, order, sum)
	}
	if two := scored(logits, 0, 2, piece); len(two.Top) != 2 || string(two.Top[1].Token) != "c" {
		t.Errorf("the best two are %+v", two.Top)
	}
	if none := scored(logits, 0, 0, piece); len(none.Top) != 0 {
		t.Errorf("%+v", none.Top)
	}
}

func TestSeveralAnswers(t *testing.T) {
	e, web := open(t, Config{Slots: 3, Context: 512})
	ask3 := func(seed int) []string {
		status, r := ask(t, web.URL, "/v1/chat/completions", question("Hello", fields{"temperature": 2, "n": 3, "seed": seed, "max_tokens": 30}))
		if status != 200 || len(r.Choices) != 3 {
			t.Fatalf("%d %+v", status, r)
		}
		texts := make([]string, 3)
		for i, c := range r.Choices {
			if texts[i] = c.Message.Content; c.Index != i || c.Finish == nil {
				t.Errorf("choice %d: %+v", i, c)
			}
		}
		if r.Usage.Completion < 30 || r.Usage.Completion > 90 || r.Usage.Total != r.Usage.Prompt+r.Usage.Completion {
			t.Errorf("usage is %+v", r.Usage)
		}
		return texts
	}
	texts := ask3(7)
	if texts[0] == texts[1] && texts[1] == texts[2] {
		t.Errorf("the answers are all %q", texts[0])
	}
	// more answers than slots, as a stream
	seen := map[int]string{}
	for _, event := range streamed(t, web.URL, question("Say the alphabet.", fields{"n": 5, "stream_options": fields{"include_usage": true}})) {
		for _, c := range event.Choices {
			seen[c.Index] += c.Delta.Content
		}
	}
	for i := range 5 {
		if seen[i] != alphabet {
			t.Errorf("answer %d is %q", i, seen[i])
		}
	}
	until(t, "all slots are free", func() bool { return e.Load().Running == 0 })
}

func TestLogitBias(t *testing.T) {
	e, web := open(t, Config{})
	a := e.model.tokenize("A", false, false)
	_, r := ask(t, web.URL, "/v1/chat/completions", question("Say the alphabet.", fields{"logit_bias": map[int32]int{int32(a[0]): -100}}))
	if strings.Contains(r.text(), "A") || r.text() == "" {
		t.Errorf("without A %q", r.text())
	}
	if status, r := ask(t, web.URL, "/v1/chat/completions", question("x", fields{"logit_bias": fields{"99999999": 1}})); status != 400 || r.Error.Param != "logit_bias" {
		t.Errorf("%d %+v", status, r.Error)
	}
}
