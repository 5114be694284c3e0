package openai

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func params(r *Request) (out []string) {
	for _, p := range r.Problems {
		out = append(out, p.Param)
	}
	return out
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name     string
		e        Endpoint
		body     string
		problems []string
		want     Request
	}{
		{"least chat", Chat, `{"model":"m","messages":[{"role":"user","content":"12345678"}]}`, nil,
			Request{Model: []byte("m"), N: 1, PromptTokens: 2}},
		{"all of it", Chat, `{"model":"m","stream":true,"stream_options":{"include_usage":true},"n":2,"max_tokens":5,"max_completion_tokens":9,"temperature":2,"top_p":0,
			"messages":[{"role":"system","content":null},{"role":"user","content":[{"type":"text","text":"1234"},{"type":"image_url","image_url":{"url":"x"}}]}]}`, nil,
			Request{Model: []byte("m"), Stream: true, IncludeUsage: true, N: 2, MaxTokens: 9, PromptTokens: 1}},
		{"nulls", Chat, `{"model":"m","stream":null,"stream_options":null,"n":null,"max_tokens":null,"temperature":null,"messages":[{"role":"user"}]}`, nil,
			Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"escaped names", Chat, `{"mod\u0065l":"\u006d\n","messages":[{"role":"user"}]}`, nil, Request{Model: []byte("m\n"), N: 1, PromptTokens: 1}},
		{"completion", Completions, `{"model":"m","prompt":["1234","5678"]}`, nil, Request{Model: []byte("m"), N: 1, PromptTokens: 2}},
		{"completion of tokens", Completions, `{"model":"m","prompt":[1,2,3]}`, nil, Request{Model: []byte("m"), N: 1, PromptTokens: 3}},
		{"embeddings of token lists", Embeddings, `{"model":"m","input":[[1,2],[3]]}`, nil, Request{Model: []byte("m"), N: 1, PromptTokens: 3}},
		{"another endpoint's fields are nobody's", Embeddings, `{"model":"m","input":"x","messages":7,"prompt":{}}`, nil, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"nothing", Chat, `{}`, []string{"model", "messages"}, Request{N: 1, PromptTokens: 1}},
		{"an empty model", Completions, `{"model":"","prompt":"x"}`, []string{"model"}, Request{N: 1, PromptTokens: 1}},
		{"a model of another kind", Embeddings, `{"model":5,"input":"x"}`, []string{"model"}, Request{N: 1, PromptTokens: 1}},
		{"everything wrong", Chat, `{"model":[],"messages":[{"role":1},7,{"role":"user","content":3},{"role":"user","content":[1]}],"stream":1,"stream_options":[],"n":0,"max_tokens":-1,
			"max_completion_tokens":1.5,"temperature":2.1,"top_p":"x"}`,
			[]string{"model", "messages[0].role", "messages[1]", "messages[2].content", "messages[3].content", "stream", "stream_options", "n", "max_tokens",
				"max_completion_tokens", "temperature", "top_p"}, Request{N: 1, PromptTokens: 1}},
		{"given twice", Chat, `{"model":"a","model":"b","messages":[{"role":"user"}],"messages":[{"role":"user"}]}`, []string{"model", "messages"},
			Request{Model: []byte("b"), N: 1, PromptTokens: 1}},
		{"usage of what is not streamed", Chat, `{"model":"m","messages":[{"role":"user"}],"stream_options":{"include_usage":true}}`, []string{"stream_options"},
			Request{Model: []byte("m"), IncludeUsage: true, N: 1, PromptTokens: 1}},
		{"streamed embeddings", Embeddings, `{"model":"m","input":"x","stream":true}`, []string{"stream"}, Request{Model: []byte("m"), Stream: true, N: 1, PromptTokens: 1}},
		{"empty input", Embeddings, `{"model":"m","input":[]}`, []string{"input"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"mixed input", Embeddings, `{"model":"m","input":["x",1]}`, []string{"input"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"input of objects", Completions, `{"model":"m","prompt":[{}]}`, []string{"prompt"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"rerank", Rerank, `{"model":"m","query":"1234","documents":["12345678",{"text":"1234","more":[]},{"image":"x"}],"top_n":2,"return_documents":true,"rank_fields":["a"]}`, nil,
			Request{Model: []byte("m"), N: 1, PromptTokens: 4}},
		{"rerank without anything", Rerank, `{}`, []string{"model", "query", "documents"}, Request{N: 1, PromptTokens: 1}},
		{"rerank all wrong", Rerank, `{"model":"m","query":"","documents":["x",7,null],"top_n":0,"return_documents":"yes","stream":true}`,
			[]string{"query", "documents[1]", "documents[2]", "top_n", "return_documents", "stream"}, Request{Model: []byte("m"), Stream: true, N: 1, PromptTokens: 1}},
		{"rerank of kinds", Rerank, `{"model":"m","query":["x"],"documents":"x"}`, []string{"query", "documents"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"rerank of nothing twice", Rerank, `{"model":"m","query":"x","documents":[],"query":"y"}`, []string{"documents", "query"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"twice within", Chat, `{"model":"m","messages":[{"role":"user","content":"x","role":"user","content":"y"}],"stream":true,"stream_options":{"include_usage":1,"include_usage":true}}`,
			[]string{"messages[0].role", "messages[0].content", "stream_options.include_usage", "stream_options.include_usage"}, Request{Model: []byte("m"), Stream: true, IncludeUsage: true, N: 1, PromptTokens: 1}},
		{"more twice", Chat, `{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[],"tools":[],"logprobs":true,"logprobs":false,"response_format":{},"response_format":{},"functions":[],"functions":[],` +
			`"modalities":[],"modalities":[],"continuation":{},"continuation":{},"return_token_ids":true,"return_token_ids":true,"continue_final_message":true,"continue_final_message":true}`,
			[]string{"tools", "logprobs", "response_format", "functions", "modalities", "continuation", "return_token_ids", "continue_final_message"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
		{"no messages", Chat, `{"model":"m","messages":[]}`, []string{"messages"}, Request{Model: []byte("m"), N: 1, PromptTokens: 1}},
	} {
		var r Request
		if err := r.Check(c.e, []byte(c.body)); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(params(&r), c.problems) {
			t.Errorf("%s: problems %v, want %v", c.name, r.Problems, c.problems)
		}
		if !bytes.Equal(r.Model, c.want.Model) || r.Stream != c.want.Stream || r.IncludeUsage != c.want.IncludeUsage || r.N != c.want.N ||
			r.MaxTokens != c.want.MaxTokens || r.PromptTokens != c.want.PromptTokens {
			t.Errorf("%s: %+v, want %+v", c.name, r, c.want)
		}
	}
}

func TestCheckTellsWhatTheEngineMust(t *testing.T) {
	const m = `{"model":"m","messages":[{"role":"user","content":`
	for _, c := range []struct {
		e     Endpoint
		body  string
		needs spec.Ability
		first spec.Ability // whose field is asked for
		param string
	}{
		{Chat, m + `"x"}]}`, spec.AbleChat, spec.AbleChat, ""},
		{Completions, `{"model":"m","prompt":"x","logprobs":0}`, spec.AbleComplete, spec.AbleComplete, ""},
		{Rerank, `{}`, spec.AbleRerank, spec.AbleRerank, ""},
		{Chat, m + `"x"},{"role":"user","content":[{"type":"image_url"}]},{"role":"user","content":[{"type":"image_url"}]}]}`, spec.AbleChat | spec.AbleImages, spec.AbleImages, "messages[1].content"},
		{Chat, m + `[{"type":"input_audio"}]}],"modalities":["audio"]}`, spec.AbleChat | spec.AbleAudio, spec.AbleAudio, "messages[0].content"},
		{Chat, m + `null}],"functions":[{}],"response_format":{"type":"json_schema"},"logprobs":true}`,
			spec.AbleChat | spec.AbleTools | spec.AbleSchema | spec.AbleLogprobs, spec.AbleSchema, "response_format"},
		{Chat, m + `null}],"functions":{},"tools":7,"response_format":"json_schema","logprobs":"yes","modalities":"audio"}`, spec.AbleChat, spec.AbleTools, "tools"},
	} {
		var r Request
		if err := r.Check(c.e, []byte(c.body)); err != nil {
			t.Fatal(err)
		}
		if r.Needs != c.needs || r.Wished(c.first) != c.param {
			t.Errorf("%s: needs %s by %q", c.body, r.Needs, r.Wished(c.first))
		}
	}
}

func TestCheckRefusesWhatIsNoObject(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	for _, body := range []string{"", " ", "null", "7", `"x"`, "[]", "{", `{"model":"m"`, `{"model":"m",}`, `{"model":'m'}`, `{"model":"m"} x`, `{"a":01}`,
		"{\"model\":\"a\nb\"}", "{\"model\":\"a\nb\\t\"}", "{\"a\x01\\u0041\":1}", `{"x":` + deep, `{"x":` + deep + strings.Repeat("]", 100_000) + "}", "\xff"} {
		var r Request
		if err := r.Check(Chat, []byte(body)); err == nil || err.Code != spec.CodeInvalidJSON || err.Message == "" {
			t.Errorf("%.40q: %v", body, err)
		}
	}
}

// TestCheckRefusesWhatIsNoText says where.
func TestCheckRefusesWhatIsNoText(t *testing.T) {
	var r Request
	for body, at := range map[string]string{"{\"model\":\"m\xff\"}": "byte 12 ", "\xed\xa0\x80": "byte 1 ", "{\"é\":\"\xc3\"}": "byte 8 "} {
		if err := r.Check(Chat, []byte(body)); err == nil || err.Code != spec.CodeInvalidJSON || !strings.Contains(err.Message, at) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var r Request
	body := `{"model":"m","messages":[` + strings.Repeat("1,", 5000) + `1]}`
	if err := r.Check(Chat, []byte(body)); err != nil || len(r.Problems) != maxProblems {
		t.Errorf("%v, %d problems", err, len(r.Problems))
	}
}

// TestCheckLeavesTheBody: what passes on is what came, to the byte, whatever
// spaces, order, escapes and unknown fields it has.
func TestCheckLeavesTheBody(t *testing.T) {
	body := []byte(" {\t\"zz\":\"\\u00e9\\/\" , \"model\":\"m\",\"n\":1e0,\n\"messages\":[ {\"role\":\"user\",\"content\":\"x\",\"later\":[1.50]}],\"logit_bias\":{\"50256\":-100}}")
	was := bytes.Clone(body)
	var r Request
	if err := r.Check(Chat, body); err != nil {
		t.Fatal(err)
	}
	copied := string(r.Model)
	clear(body) // nor is it looked at afterwards
	if string(r.Model) != copied {
		t.Error("the model's name is the body's memory")
	}
	copy(body, was)
	if _ = r.Check(Chat, body); !bytes.Equal(body, was) {
		t.Errorf("the body became %q", body)
	}
}

// TestCheckIsFreshEachTime: nothing of an earlier body is left in a Request used again.
func TestCheckIsFreshEachTime(t *testing.T) {
	var used, fresh Request
	_ = used.Check(Chat, []byte(`{"model":"long-name","stream":true,"n":9,"max_tokens":3,"top_p":7,"messages":[{"role":"user","content":"0123456789"}]}`))
	body := []byte(`{"model":"m","messages":[{"role":"user"}]}`)
	_ = used.Check(Chat, body)
	_ = fresh.Check(Chat, body)
	if string(used.Model) != "m" || len(used.Problems) != 0 || used.Stream || used.N != fresh.N || used.MaxTokens != 0 || used.PromptTokens != fresh.PromptTokens {
		t.Errorf("%+v after another body, %+v without", used, fresh)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"model":"m","messages":[{"role":"user","content":"x"}]}`, `{"model":"m","prompt":[[1],[2]]}`, `{"input":"x","model":"m"}`,
		`{"model":"\ud800","n":1e400}`, `{"a":{"b":[{"c":null}]}}`} {
		for e := range EndpointCount {
			f.Add(uint8(e), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, e uint8, body []byte) {
		var r Request
		was := bytes.Clone(body)
		err := r.Check(Endpoint(int(e)%EndpointCount), body)
		if !bytes.Equal(body, was) {
			t.Fatal("the body was changed")
		}
		var doc map[string]json.RawMessage
		object := json.Unmarshal(body, &doc) == nil && doc != nil
		switch {
		case err == nil && !object:
			t.Fatalf("%q is taken for an object", body)
		case err != nil:
			return
		}
		if r.N < 1 || r.PromptTokens < 1 || r.MaxTokens < 0 || len(r.Problems) > maxProblems {
			t.Fatalf("%+v", r)
		}
		if len(r.Problems) == 0 && len(r.Model) == 0 {
			t.Fatal("no model, and no problem")
		}
		for _, p := range r.Problems {
			if p.Param == "" || p.Message == "" {
				t.Fatalf("an empty problem: %+v", p)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	const turn = `{"role":"user","content":"See \"main.go\", line 7:\n\n\tif err != nil {\n\t\treturn fmt.Errorf(\"read: %w\", err)\n\t}\n\nWhat is lost there, and who would notice it first?"},`
	for _, c := range []struct{ name, messages string }{
		{"short", `{"role":"system","content":"You are helpful."},{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}`},
		{"long", strings.Repeat(turn, 60) + `{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}`},
		{"wide", `{"role":"user","content":"` + strings.Repeat("das Wörterbuch für 語 ", 200) + `"}`},
	} {
		body := []byte(`{"model":"m","stream":true,"temperature":0.7,"messages":[` + c.messages + `]}`)
		b.Run(c.name, func(b *testing.B) {
			var r Request
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Check(Chat, body); err != nil {
					b.Fatal(err)
				}
				r.Release()
			}
		})
	}
}
