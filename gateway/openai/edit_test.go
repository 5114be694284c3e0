package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

func TestAsk(t *testing.T) {
	const set = `"stream_options":{"include_usage":true}`
	for _, c := range []struct {
		body, want     string
		usage, tokens  bool
		already, given bool
	}{
		{`{"model":"m","x":[1, 2]}`, `{` + set + `,"model":"m","x":[1, 2]}`, true, false, false, false},
		{` {} `, ` {` + set + `} `, true, false, false, false},
		{`{"a":1}`, `{` + set + `,"return_token_ids":true,"a":1}`, true, true, false, false},
		{`{"stream_options":{"include_usage":true}}`, `{"stream_options":{"include_usage":true}}`, true, false, true, false},
		{`{"stream_options": {"include_usage": false, "y":2}, "z":3}`, `{"stream_options": {"include_usage": true, "y":2}, "z":3}`, true, false, false, false},
		{`{"stream_options":{"y":2}}`, `{"stream_options":{"include_usage":true,"y":2}}`, true, false, false, false},
		{`{"stream_options":{}}`, `{"stream_options":{"include_usage":true}}`, true, false, false, false},
		{`{"stream_options":null}`, `{"stream_options":{"include_usage":true}}`, true, false, false, false},
		{`{"stream_options":{"y":2}}`, `{"stream_options":{"y":2}}`, false, false, false, false},
		{`{"return_token_ids":true}`, `{"return_token_ids":true}`, false, true, false, true},
		{`{"return_token_ids":false}`, `{"return_token_ids":true}`, false, true, false, false},
	} {
		got, asked, err := Ask([]byte(c.body), c.usage, c.tokens)
		if err != nil || string(got) != c.want || asked != (Asked{c.already, c.given, 1, 1}) {
			t.Errorf("%s: %s %+v %v", c.body, got, asked, err)
		}
	}
	for _, bad := range []string{"", "[]", `{"a"`, `{"a":"b`} {
		if got, _, err := Ask([]byte(bad), true, false); err == nil {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

func TestAskedChoices(t *testing.T) {
	for body, want := range map[string][2]int{
		`{"n":3,"prompt":"a"}`: {3, 1}, `{"prompt":["a","b]"],"n":null}`: {1, 2}, `{"prompt":[[1,2],[3]]}`: {1, 2},
		`{"prompt":[1,2,3]}`: {1, 1}, `{"prompt":[]}`: {1, 1}, `{"n":0}`: {1, 1}, `{"n":"x"}`: {1, 1},
	} {
		if _, asked, err := Ask([]byte(body), true, false); err != nil || asked.N != want[0] || asked.Prompts != want[1] {
			t.Errorf("%s: %+v %v", body, asked, err)
		}
	}
}

// FuzzAsk: the body stays what it was but for what is asked for.
func FuzzAsk(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"content":"a\\\"b"}],"stream_options":{"include_usage":false,"z":1},"q":1e9}`), true)
	f.Add([]byte(` {"stream_options" : null , "return_token_ids":false}`), true)
	f.Add([]byte(`{}`), false)
	f.Fuzz(func(t *testing.T, body []byte, tokens bool) {
		before := bytes.Clone(body)
		got, asked, err := Ask(body, true, tokens)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		var r Request
		if r.Check(Chat, body) != nil || err != nil || bytes.Contains(body, []byte(`\`)) { // keys with escapes stay whose they are
			return
		}
		for _, p := range r.Problems {
			if p.Message == "is given twice" || p.Param == "stream_options" {
				return
			}
		}
		var was, is map[string]any
		if json.Unmarshal(before, &was) != nil || json.Unmarshal(got, &is) != nil {
			if json.Valid(before) {
				t.Fatalf("%s became %s", before, got)
			}
			return
		}
		options, _ := is["stream_options"].(map[string]any)
		if options["include_usage"] != true || tokens && is["return_token_ids"] != true {
			t.Fatalf("%s became %s", before, got)
		}
		if w, ok := was["stream_options"].(map[string]any); ok {
			if asked.Usage != (w["include_usage"] == true) {
				t.Fatalf("%s: asked %v", before, asked)
			}
			w["include_usage"] = true
		} else {
			delete(is, "stream_options")
			delete(was, "stream_options")
		}
		if tokens {
			delete(is, "return_token_ids")
			delete(was, "return_token_ids")
		}
		if !reflect.DeepEqual(was, is) {
			t.Fatalf("%s became %s", before, got)
		}
	})
}

func TestContinueText(t *testing.T) {
	begun := Begun{Text: []byte(`A \"B`), Pieces: 3}
	for _, c := range []struct {
		chat       bool
		body, want string // empty: it cannot be continued
	}{
		{true, `{"messages":[{"role":"user","content":"x"}]}`, `{"continue_final_message":true,"add_generation_prompt":false,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"A \"B"}]}`},
		{true, `{"messages":[{"role":"user"}],"max_tokens":10,"max_completion_tokens": 9 }`, `{"continue_final_message":true,"add_generation_prompt":false,"messages":[{"role":"user"},{"role":"assistant","content":"A \"B"}],"max_tokens":7,"max_completion_tokens": 6 }`},
		{true, `{"continue_final_message":true,"messages":[{"role":"user"},{"role":"assistant","content":"so "}]}`, `{"continue_final_message":true,"messages":[{"role":"user"},{"role":"assistant","content":"so A \"B"}]}`},
		{true, `{"messages":[{"role":"user"}],"continue_final_message":false,"response_format":{"type" : "text"},"max_tokens":null}`, `{"add_generation_prompt":false,"messages":[{"role":"user"},{"role":"assistant","content":"A \"B"}],"continue_final_message":true,"response_format":{"type" : "text"},"max_tokens":null}`},
		{false, `{"prompt":"x ","max_tokens":5,"stop":["y"]}`, `{"prompt":"x A \"B","max_tokens":2,"stop":["y"]}`},
		{true, `{"messages":[{"role":"user"}],"max_tokens":3}`, ""},
		{true, `{"messages":[{"role":"user"}],"response_format":{"type":"json_object"}}`, ""},
		{true, `{"messages":[{"role":"user"}],"n":2}`, ""},
		{true, `{"continue_final_message":true,"messages":[{"role":"user"},{"role":"assistant","content":[{}]}]}`, ""},
		{false, `{"prompt":"x"}`, ""},
		{false, `{"prompt":["x"],"max_tokens":9}`, ""},
		{false, `{"prompt":"x","max_tokens":9,"echo":true}`, ""},
		{false, `{"prompt":"x","max_tokens":9,"logprobs":2}`, ""},
	} {
		got, err := ContinueText(c.chat, []byte(c.body), begun)
		if c.want == "" {
			if !errors.Is(err, ErrNoContinuation) {
				t.Errorf("%s: %s %v", c.body, got, err)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%s: %s %v", c.body, got, err)
		}
	}
}

func TestContinueTokens(t *testing.T) {
	got, err := ContinueTokens([]byte(`{"a":1}`), Begun{Tokens: []byte("4,5,"), Events: 2})
	if err != nil || string(got) != `{"continuation":{"token_ids":[4,5],"events":2},"a":1}` {
		t.Errorf("%s %v", got, err)
	}
	for _, body := range []string{`{"n":2}`, `{"continuation":{}}`} {
		if got, err := ContinueTokens([]byte(body), Begun{}); !errors.Is(err, ErrNoContinuation) {
			t.Errorf("%s: %s %v", body, got, err)
		}
	}
}

// FuzzContinueText: the result is valid JSON where the body was.
func FuzzContinueText(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":"x"}],"max_tokens":10}`), true)
	f.Add([]byte(`{"continue_final_message":true,"messages":[{"content":"x"}]}`), true)
	f.Add([]byte(`{"prompt":"x","max_tokens":10}`), false)
	f.Fuzz(func(t *testing.T, body []byte, chat bool) {
		got, err := ContinueText(chat, body, Begun{Text: []byte(`\u00e9\"`), Pieces: 2})
		if err == nil && json.Valid(body) && !json.Valid(got) {
			t.Fatalf("%s became %s", body, got)
		}
	})
}
