package openai

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

func told(r *Request) (out []string) {
	for _, p := range r.Problems {
		out = append(out, p.Param+" "+p.Message)
	}
	return out
}

// TestEveryProblemIsListed: one answer tells all that is wrong, by the client's names, with the limits.
func TestEveryProblemIsListed(t *testing.T) {
	const chat = `"model":"m","messages":[{"role":"user","content":"x"}]`
	for name, c := range map[string]struct {
		e    Endpoint
		body string
		want []string
	}{
		"tools": {Chat, chat + `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}},{"type":"function","function":{"name":""}},{"function":{"name":"g","parameters":[],"strict":"yes","description":7}},7,{"type":"function"},{"type":"web_search"}]`,
			[]string{"tools[1].function.name must be a string that is not empty", "tools[2].function.description must be a string", "tools[2].function.parameters must be an object",
				"tools[2].function.strict must be true or false", "tools[3] must be an object", "tools[4].function is missing: it must be an object"}},
		"numbers": {Chat, chat + `,"temperature":3,"top_p":-0.5,"presence_penalty":2.5,"frequency_penalty":"x","seed":1.5,"top_logprobs":-2,"logprobs":"yes","top_k":"a"`,
			[]string{"temperature must be a number from 0 to 2", "top_p must be a number from 0 to 1", "presence_penalty must be a number from -2 to 2", "frequency_penalty must be a number from -2 to 2",
				"seed must be a whole number", "top_logprobs must be a whole number of at least -1", "logprobs must be true or false", "top_k must be a whole number"}},
		"the rest of a chat": {Chat, chat + `,"stop":["a",5],"logit_bias":{"50256":"x","1":-100},"response_format":{"type":"json_schema"},"tool_choice":"sometimes","parallel_tool_calls":1,"reasoning_effort":3,"user":{},"modalities":["text",1]`,
			[]string{"stop[1] must be a string", "logit_bias.50256 must be a number or true or false", "response_format.json_schema is missing: it must be an object",
				"tool_choice must be none or auto or required or any or an object", "parallel_tool_calls must be true or false", "reasoning_effort must be a string that is not empty", "user must be a string", "modalities[1] must be a string"}},
		"a schema": {Chat, chat + `,"response_format":{"type":"json_schema","json_schema":{"name":7,"schema":"x","strict":0}},"tool_choice":{"type":"function","function":{}}`,
			[]string{"response_format.json_schema.name must be a string", "response_format.json_schema.schema must be true or false or an object", "response_format.json_schema.strict must be true or false", "tool_choice.function.name is missing: it must be a string that is not empty"}},
		"messages": {Chat, `"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":1,"function":{"arguments":"{}"}},7]},{"role":"tool","tool_call_id":5,"content":[{"type":"text"},{"type":"image_url","image_url":{}},{"type":3},{"type":"input_audio","input_audio":"x"}]}]`,
			[]string{"messages[0].tool_calls[0].id must be a string", "messages[0].tool_calls[0].function.name is missing: it must be a string that is not empty", "messages[0].tool_calls[1] must be an object",
				"messages[1].tool_call_id must be a string", "messages[1].content[0].text is missing: it must be a string", "messages[1].content[1].image_url.url is missing: it must be a string that is not empty",
				"messages[1].content[2].type must be a string that is not empty", "messages[1].content[3].input_audio must be an object"}},
		"logprobs that nobody asked for": {Chat, chat + `,"top_logprobs":3`, []string{`top_logprobs needs "logprobs": true`}},
		"a completion":                   {Completions, `"model":"m","prompt":"x","logprobs":"all","best_of":-1,"echo":"no","suffix":1,"tools":7`, []string{"logprobs must be a whole number of at least -1 or true or false", "best_of must be a whole number of at least 0", "echo must be true or false", "suffix must be a string"}},
		"embeddings":                     {Embeddings, `"model":"m","input":"x","encoding_format":"flat","dimensions":0,"user":1`, []string{"encoding_format must be float or base64 or bytes or bytes_only", "dimensions must be a whole number of at least 1", "user must be a string"}},
		"speech":                         {Speech, `"model":"m","input":"x","voice":7,"speed":9,"response_format":[]`, []string{"voice must be a string or an object", "speed must be a number from 0.25 to 4", "response_format must be a string that is not empty"}},
		"images":                         {Images, `"model":"m","prompt":"x","size":512,"output_compression":101,"n":0`, []string{"size must be a string that is not empty", "output_compression must be a whole number from 0 to 100", "n must be a whole number from 1 to 128"}},
		"rerank":                         {Rerank, `"model":"m","query":"x","documents":["y"],"max_tokens_per_doc":0,"rank_fields":"a"`, []string{"max_tokens_per_doc must be a whole number of at least 1", "rank_fields must be an array"}},
		"translated":                     {Messages, chat + `,"seed":"x"`, []string{"seed must be a whole number"}},
	} {
		var r Request
		if err := r.Check(c.e, []byte("{"+c.body+"}")); err != nil {
			t.Fatal(name, err)
		}
		if got := told(&r); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestEnginesExtensionsAreNobodysBusiness: what one engine takes is not refused for all.
func TestEnginesExtensionsAreNobodysBusiness(t *testing.T) {
	const chat = `{"model":"m","messages":[{"role":"user","content":"x"}],`
	for _, c := range []struct {
		e    Endpoint
		body string
	}{
		{Chat, chat + `"logit_bias":[[15043,-1.5],[" Hello",false]]}`},
		{Chat, chat + `"logit_bias":{"15043":false}}`},
		{Chat, chat + `"response_format":{"type":"structural_tag","structures":[]},"guided_json":{"a":1},"min_p":0.1,"top_k":-1,"repetition_penalty":1.1}`},
		{Chat, chat + `"response_format":{"type":"json_object","schema":{}},"grammar":"root ::= x","cache_prompt":true,"samplers":["top_k"],"dry_multiplier":0.8}`},
		{Chat, chat + `"response_format":{"type":"json","value":{}},"stream_options":{"continuous_usage_stats":true}}`},
		{Chat, chat + `"seed":-1,"top_logprobs":-1,"logprobs":true,"stop":null,"tools":null,"tool_choice":"any","stop_token_ids":[1],"ignore_eos":true,"min_tokens":3}`},
		{Chat, chat + `"seed":4294967295.0,"reasoning_effort":"xhigh","tools":[{"type":"custom","custom":{"name":"x"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{}}}`},
		{Chat, `{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","content":[{"video_url":{"url":"x"}},{"type":"image_url","image_url":"x"}]}]}`},
		{Completions, `{"model":"m","prompt":"x","logprobs":true,"stop":"","echo":null,"n_probs":5,"top_logprobs":2}`},
		{Embeddings, `{"model":"m","input":"x","encoding_format":"bytes","truncate_prompt_tokens":-1,"temperature":"x","tools":1}`},
		{Speech, `{"model":"m","input":"x","voice":{"id":"v"},"response_format":"ogg","speed":0.25}`},
		{Images, `{"model":"m","prompt":"x","steps":20,"size":"512x512","guidance_scale":7.5}`},
	} {
		var r Request
		if err := r.Check(c.e, []byte(c.body)); err != nil || len(r.Problems) > 0 {
			t.Errorf("%s %s: %v %v", c.e, c.body, err, r.Problems)
		}
	}
}

// TestRulesCanBeKept: what each says that it wants is possible, and is what it takes.
func TestRulesCanBeKept(t *testing.T) {
	for e, of := range rules {
		for _, w := range slices.Concat(of...) {
			if w.rule.is == 0 || of.of([]byte(w.name)).rule != w.rule || w.rule.low > w.rule.high || w.rule.is&aNumber == 0 && w.rule.high != 0 {
				t.Errorf("%s %s: %+v", Endpoint(e), w.name, w.rule)
			}
		}
	}
}

// TestRulesAreFoundByName: each that is listed, the later of two, and no other.
func TestRulesAreFoundByName(t *testing.T) {
	for e, lists := range map[Endpoint][]map[string]*rule{Chat: {ofSampling, ofConversations}, Messages: {ofSampling, ofConversations}, Completions: {ofSampling, ofCompletions},
		Embeddings: {ofEmbeddings}, Rerank: {ofRanks}, Speech: {ofSpeech}, Images: {ofImages}, Transcriptions: nil} {
		want := map[string]*rule{}
		for _, list := range lists {
			maps.Copy(want, list)
		}
		for name, w := range want {
			if got := rules[e].of([]byte(name)); got == nil || got.name != name || got.rule != w {
				t.Errorf("%s %s: %+v", e, name, got)
			}
			for _, other := range []string{name + "s", name[1:], "X" + name[1:], name[:len(name)-1] + "X"} {
				if got := rules[e].of([]byte(other)); want[other] == nil && got != nil {
					t.Errorf("%s %s: %+v", e, other, got)
				}
			}
		}
		if got := len(slices.Concat(rules[e]...)); got != len(want) {
			t.Errorf("%s: %d rules, want %d", e, got, len(want))
		}
		for _, own := range []string{"messages", "prompt", "input", "query", "documents", "top_n", "return_documents"} {
			if rules[e].of([]byte(own)) != nil {
				t.Errorf("%s: %s is looked at elsewhere, and its rule is not", e, own)
			}
		}
	}
	if one, other := isText, isName; namedOf(map[string]*rule{"a": one}, map[string]*rule{"a": other}).of([]byte("a")).rule != other {
		t.Error("the earlier rule of two is kept")
	}
}

// FuzzHold: any value of any field is judged, at any depth, and the same each time.
func FuzzHold(f *testing.F) {
	for _, s := range []string{`[{"function":{"name":1}}]`, `{"type":"json_schema","json_schema":{}}`, `{"a":"b"}`, `-1e999`, `"x"`, `[[[[]]]]`, `null`, `[null,true]`} {
		f.Add("tools", []byte(s))
		f.Add("response_format", []byte(s))
		f.Add("logit_bias", []byte(s))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		v, err := fastjson.ParseBytes(value)
		if err != nil || !json.Valid(value) || bytes.IndexByte(value, '\\') >= 0 {
			return
		}
		first, again := Hold(nil, key, v), Hold(nil, key, v)
		if !slices.Equal(first, again) || len(first) > maxProblems {
			t.Fatalf("%v, then %v", first, again)
		}
		for _, p := range first {
			if !strings.HasPrefix(p.Param, key) || p.Message == "" {
				t.Fatalf("%+v of %s", p, key)
			}
		}
		if known := rules[Chat].of([]byte(key)); known == nil && len(first) > 0 {
			t.Fatalf("%s has no rule: %v", key, first)
		}
	})
}

// BenchmarkCheckRules is BenchmarkCheck of a body with much that has rules.
func BenchmarkCheckRules(b *testing.B) {
	tool := `{"type":"function","function":{"name":"weather","description":"tells the weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}`
	body := []byte(`{"model":"m","stream":true,"temperature":0.7,"top_p":0.9,"seed":7,"stop":["a","b"],"user":"u","tools":[` + strings.Repeat(tool+",", 9) + tool +
		`],"tool_choice":"auto","response_format":{"type":"text"},"messages":[{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}]}`)
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Check(Chat, body); err != nil || len(r.Problems) > 0 {
			b.Fatal(err, r.Problems)
		}
		r.Release()
	}
}
