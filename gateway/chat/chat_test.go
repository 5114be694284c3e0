package chat

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestStringsAreJSON: whatever bytes there are, encoding/json reads the text that they are.
func TestStringsAreJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "bytes")
		var got string
		if err := json.Unmarshal(AppendString(nil, b), &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		want := make([]rune, 0, len(b))
		for _, r := range string(b) {
			want = append(want, r)
		}
		if got != string(want) {
			t.Fatalf("%q became %q", b, got)
		}
		if string(AppendString(nil, string(b))) != string(AppendString(nil, b)) {
			t.Fatal("a string and its bytes differ")
		}
	})
}

// TestValuesKeep what they say: numbers to the digit, fields in their order.
func TestValuesKeep(t *testing.T) {
	const in = `{"b":1.50,"a":[1e400,-0,12345678901234567890,null,true,"x\u0000\"\\\n\ud83d\ude00"],"":{"q":{}}}`
	v := fastjson.MustParse(in)
	out := AppendValue(nil, v)
	if want := `{"b":1.50,"a":[1e400,-0,12345678901234567890,null,true,"x\u0000\"\\\n😀"],"":{"q":{}}}`; string(out) != want {
		t.Errorf("%s", out)
	}
	if got := string(AppendValue(nil, fastjson.MustParse(`{"a":[nan,-Inf]}`))); got != `{"a":[null,null]}` {
		t.Error(got)
	}
}

// TestReadRefuses what is no JSON object to every reader.
func TestReadRefuses(t *testing.T) {
	for _, body := range []string{"", "[]", `{"a":1`, "{\"a\":\"b\n\"}", "{\"a\":\"b\n\\t\"}", "{\"a\n\\t\":1}", `{"a":01}`, "{\"a\":\"\xff\"}"} {
		err := Read([]byte(body), func(string, *fastjson.Value) {}, func() {})
		if err == nil || err.Code != spec.CodeInvalidJSON {
			t.Errorf("%q: %v", body, err)
		}
	}
	var got string
	if err := Read([]byte(`{"a":"b\n\t"}`), func(_ string, v *fastjson.Value) { got = string(v.GetStringBytes()) }, func() {}); err != nil || got != "b\n\t" {
		t.Errorf("%q: %v", got, err)
	}
}

func TestConversation(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		name string
		fill func(c *Conversation)
		want string
		open bool
	}{
		{"none", func(*Conversation) {}, `[]`, false},
		{"texts are one", func(c *Conversation) { c.Begin(User, false); c.Text(b("a")); c.Begin(User, false); c.Text(b("b\"")) },
			`[{"role":"user","content":"a\nb\""}]`, false},
		{"or apart", func(c *Conversation) { c.Begin(User, true); c.Text(b("a")); c.Begin(User, true); c.Text(b("b")) },
			`[{"role":"user","content":"a"},{"role":"user","content":"b"}]`, false},
		{"images", func(c *Conversation) {
			c.Begin(User, false)
			c.Text(b("a"))
			c.Image(&Image{Media: b("image/png"), Data: b("x")})
			c.Image(&Image{URL: b("u"), Detail: b("low")})
		},
			`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,x"}},{"type":"image_url","image_url":{"url":"u","detail":"low"}}]}]`, false},
		{"calls", func(c *Conversation) {
			c.Begin(Assistant, false)
			c.Reasoning(b("hm"))
			c.Call(b("1"), b("f"), b(`{"a":1}`))
			c.Call(b("2"), b("g"), b(`{}`))
			c.Result(b("1"), b("r"), &Image{URL: b("img")})
			c.Result(b("2"), b("s"))
			c.Begin(User, false)
			c.Text(b("go"))
		}, `[{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
			`{"id":"2","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"},{"role":"tool","tool_call_id":"2","content":"s"},` +
			`{"role":"user","content":[{"type":"image_url","image_url":{"url":"img"}},{"type":"text","text":"go"}]}]`, false},
		{"an image that nobody asked about", func(c *Conversation) { c.Result(b("1"), nil, &Image{URL: b("img")}) },
			`[{"role":"tool","tool_call_id":"1","content":""},{"role":"user","content":[{"type":"image_url","image_url":{"url":"img"}}]}]`, false},
		{"begun", func(c *Conversation) { c.Begin(User, false); c.Text(b("q")); c.Begin(Assistant, false); c.Text(b("a")) },
			`[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`, true},
		{"a call is not gone on with", func(c *Conversation) { c.Begin(Assistant, false); c.Call(b("1"), b("f"), b("{}")) },
			`[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}]`, false},
	} {
		var talk Conversation
		talk.Start([]byte("+"))
		c.fill(&talk)
		open := talk.Open()
		if got := string(talk.End()); got != "+"+c.want || open != c.open {
			t.Errorf("%s: open %v\n%s\n%s", c.name, open, got, c.want)
		}
	}
}

func TestReader(t *testing.T) {
	var r Reader
	stream := ": ping\n\nevent: x\r\ndata: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}},{\"index\":0,\"delta\":{\"content\":\"a\",\"reasoning\":\"b\"},\"finish_reason\":null}]}\r\n\r\n" +
		"data:{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":3,\"id\":\"i\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]},\"finish_reason\":\"stop\",\"matched_stop\":\"END\"}],\n" +
		"data: \"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":9}}}\n\ndata: [DONE]\n\n"
	kind, rest, err := r.Next([]byte(stream))
	if kind != Comment || err != nil || string(r.Remark) != ": ping" {
		t.Fatalf("%v %v %q", kind, err, r.Remark)
	}
	kind, rest, err = r.Next(rest)
	if kind != More || err != nil || string(r.Text) != "a" || string(r.Reasoning) != "b" || len(r.Finish) > 0 {
		t.Fatalf("%v %v %+v", kind, err, r.Piece)
	}
	kind, rest, err = r.Next(rest)
	if kind != More || err != nil || len(r.Calls) != 1 || r.Calls[0].Index != 3 || string(r.Calls[0].Arguments) != `{"x":1}` || string(r.Stop) != "END" ||
		r.Usage == nil || *r.Usage != (Usage{Prompt: 5, Cached: 5, Completion: 2}) {
		t.Fatalf("%v %v %+v", kind, err, r.Piece)
	}
	if kind, rest, err = r.Next(rest); kind != Done || err != nil {
		t.Fatalf("%v %v", kind, err)
	}
	if kind, _, err = r.Next(rest); kind != Nothing || err != nil {
		t.Fatalf("%v %v", kind, err)
	}
	if _, _, err = r.Next([]byte("data: {\"error\":{\"message\":\"out of memory\"}}\n\n")); spec.CodeOf(err) != spec.CodeUpstream || !strings.Contains(err.Error(), "out of memory") {
		t.Error(err)
	}
	for _, bad := range []string{"data: {\n\n", "data: 7\n\n"} {
		if _, _, err := r.Next([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestComplete(t *testing.T) {
	for in, want := range map[string]bool{"": false, " ": false, "{}": true, ` {"a":[1]} `: true, `{"a":`: false, "1": false, "{}x": false} {
		if Complete([]byte(in)) != want {
			t.Errorf("%q", in)
		}
	}
}

// TestNoAnswer: what is no finished answer of a chat is none.
func TestNoAnswer(t *testing.T) {
	for _, in := range []string{`{}`, `{"choices":[]}`, `{"choices":null}`, `{"choices":[{"message":{"content":"a"},"finish_reason":null}]}`,
		`{"choices":[{"message":null,"finish_reason":"stop"}]}`, `{"choices":[{"message":"a","finish_reason":"stop"}]}`, `{"choices":[{"index":1,"message":{},"finish_reason":"stop"}]}`} {
		if err := new(Reader).Whole([]byte(in)); !errors.Is(err, ErrUnfinished) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data: {\"usage\":{\"prompt_tokens\":-1}}\r\n\r\n: x\n\n"))
	f.Fuzz(func(t *testing.T, events []byte) {
		var r Reader
		for len(events) > 0 {
			kind, rest, err := r.Next(events)
			if err != nil || kind == Nothing {
				return
			}
			if len(rest) >= len(events) {
				t.Fatal("no event was taken off")
			}
			if r.Usage != nil && (r.Usage.Prompt < r.Usage.Cached || r.Usage.Cached < 0) {
				t.Fatalf("%+v", *r.Usage)
			}
			events = rest
		}
		_ = r.Whole(events)
	})
}
