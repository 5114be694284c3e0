package engine

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// blanked is text after a Blanking that gets it in pieces, cut at these places.
func blanked(text string, cuts ...int) string {
	b, out, from := Blanking{}, []byte(text), 0
	for _, at := range append(cuts, len(out)) {
		b.Blank(out[from:at])
		from = at
	}
	return string(out)
}

// TestBlanksWhatIsTold: numbers that tell of a cache are gone, wherever the answer is cut, and nothing else moves.
func TestBlanksWhatIsTold(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"whole answer": {`{"usage":{"prompt_tokens":30,"prompt_tokens_details":{"cached_tokens":27},"total_tokens":32}}`,
			`{"usage":{"prompt_tokens":30,"prompt_tokens_details":{"cached_tokens":0 },"total_tokens":32}}`},
		"indented": {"{\n  \"usage\": {\n    \"cached_tokens\" : 127\n  }\n}", "{\n  \"usage\": {\n    \"cached_tokens\" : 0  \n  }\n}"},
		"timings": {`"timings":{"cache_n":236,"prompt_n":1,"prompt_ms":30.958,"prompt_per_token_ms":30.958,"prompt_per_second":32.3,"predicted_n":35,"predicted_ms":661.064}`,
			`"timings":{"cache_n":0  ,"prompt_n":0,"prompt_ms":0     ,"prompt_per_token_ms":0     ,"prompt_per_second":0   ,"predicted_n":35,"predicted_ms":661.064}`},
		"stream": {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n: a \" alone\ndata: {\"usage\":{\"cached_tokens\":5e+2}}\n\ndata: [DONE]\n\n",
			"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n: a \" alone\ndata: {\"usage\":{\"cached_tokens\":0   }}\n\ndata: [DONE]\n\n"},
		"progress": {`{"created":17,"prompt_progress":{"total":30,"cache":27,"processed":28,"time_ms":12},"cache":9}`,
			`{"created":17,"prompt_progress":{"total":0 ,"cache":0 ,"processed":0 ,"time_ms":0 },"cache":9}`},
		"Anthropic's": {`{"input_tokens":3,"cache_creation_input_tokens":10,"cache_read_input_tokens":-27,"cache_creation":{"ephemeral_5m_input_tokens":10}}`,
			`{"input_tokens":3,"cache_creation_input_tokens":0 ,"cache_read_input_tokens":0  ,"cache_creation":{"ephemeral_5m_input_tokens":0 }}`},
		"said by the model": {`{"content":"{\"cached_tokens\":27} \\\"cached_tokens\\\":27, \"cache_n\": 5"}`, ""},
		"a name's end":      {`{"x\"cached_tokens":27,"not_cached_tokens":27,"cached_tokens_":27,"cached_tokens":null,"prompt_tokens":27}`, ""},
		"a value":           {`["cached_tokens",27,{"a":"cached_tokens","b":27}]`, ""},
		"no progress":       {`{"prompt_progress":null,"created":17}`, ""},
	} {
		want := c.want
		if want == "" {
			want = c.text
		}
		if got := blanked(c.text); got != want {
			t.Errorf("%s:\n%s\nbecame\n%s", name, c.text, got)
		}
		for at := range c.text {
			if got := blanked(c.text, at); got != want {
				t.Errorf("%s, cut at %d, became\n%s", name, at, got)
			}
		}
	}
	b, text := Blanking{Messages: true}, []byte(`{"usage":{"input_tokens":31,"output_tokens":2}}`)
	if b.Blank(text); string(text) != `{"usage":{"input_tokens":0 ,"output_tokens":2}}` {
		t.Errorf("of Messages: %s", text)
	}
}

func FuzzBlank(f *testing.F) {
	for _, seed := range []string{`{"usage":{"cached_tokens":27}}`, `{"a":"\"cached_tokens\":3","cache_n":-1.5e3}`, "data: {\"prompt_progress\":{\"cache\":1,\"x\":{\"y\":2}}}\n\n", `{"prompt_n" :`} {
		f.Add(seed, uint(9), uint(17))
	}
	f.Fuzz(func(t *testing.T, text string, one, two uint) {
		n := uint(len(text) + 1)
		first, second := int(min(one%n, two%n)), int(max(one%n, two%n))
		whole := blanked(text)
		if cut := blanked(text, first, second); cut != whole {
			t.Fatalf("%q becomes %q, and cut %q", text, whole, cut)
		}
		if len(whole) != len(text) || blanked(whole) != whole {
			t.Fatalf("%q becomes %q", text, whole)
		}
		var before, after any
		if parsed(text, &before) != nil {
			return
		}
		if err := parsed(whole, &after); err != nil {
			t.Fatalf("%q becomes %q: %v", text, whole, err)
		}
		same(t, before, after, false)
	})
}

func parsed(text string, to any) error {
	if !json.Valid([]byte(text)) {
		return bytes.ErrTooLarge
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

// same checks that nothing but numbers with telling names differ, which are 0.
func same(t *testing.T, before, after any, hidden bool) {
	t.Helper()
	switch was := before.(type) {
	case map[string]any:
		is, ok := after.(map[string]any)
		if !ok || len(is) != len(was) {
			t.Fatalf("%v became %v", before, after)
		}
		for name, v := range was {
			same(t, v, is[name], hidden || tellingNames[name] || name == progressName)
		}
	case []any:
		is, ok := after.([]any)
		if !ok || len(is) != len(was) {
			t.Fatalf("%v became %v", before, after)
		}
		for i, v := range was {
			same(t, v, is[i], hidden)
		}
	default:
		if before != after && (!hidden || after != json.Number("0")) {
			t.Fatalf("%v became %v", before, after)
		}
	}
}
