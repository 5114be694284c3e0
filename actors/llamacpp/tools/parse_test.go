package tools

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// read is what a parser makes of a text that comes in pieces.
func read(f *Family, pieces []string) string {
	n := 0
	p := f.NewParser(false, func() string { n++; return fmt.Sprintf("id%d", n) })
	text, calls := "", []openai.CallDelta(nil)
	take := func(out []Delta) {
		for _, d := range out {
			text += d.Text
			if d.Call != nil {
				calls = openai.AddCall(calls, *d.Call)
			}
		}
	}
	for _, piece := range pieces {
		take(p.Push(piece))
	}
	take(p.Flush())
	out := fmt.Sprintf("%q", text)
	for _, c := range calls {
		out += fmt.Sprintf(" %d:%s:%s(%s)", c.Index, c.ID, c.Name, c.Arguments)
	}
	return out
}

func TestCallsAreRead(t *testing.T) {
	for _, c := range []struct {
		family Family
		text   string
		want   string
	}{
		{hermes, "Hello.", `"Hello."`},
		{hermes, "\n\n", `"\n\n"`},
		{hermes, "a < b <tool", `"a < b <tool"`},
		{hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\", \"b\": [1, {}]}}\n</tool_call>", `"" 0:id1:f({"a": "}\"{", "b": [1, {}]})`},
		{hermes, "Let me see. \n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>\n", `"Let me see." 0:id1:f({}) 1:id2:g({})`},
		{hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"half", `"" 0:id1:f({"a": "half)`},
		{hermes, "Yes <tool_call>\n{\"name\": \"f", `"Yes"`},
		{hermes, "Yes <tool_call>: that is it", `"Yes<tool_call>: that is it"`},
		{hermes, "<tool_call>{\"name\": \"f\", \"arguments\": {}} and so on", `"} and so on" 0:id1:f({})`},
		{hermes, `<tool_call>{"name": "f", "arguments": 3}</tool_call>`, `"3}</tool_call>" 0:id1:f()`},
		{llama3, `{"name": "f", "parameters": {"a": 1}}`, `"" 0:id1:f({"a": 1})`},
		{llama3, "\n {\"name\": \"f\", \"parameters\": {\"a\": 1}}\n", `"" 0:id1:f({"a": 1})`},
		{llama3, `{"names": []}`, `"{\"names\": []}"`},
		{llama3, `{"name": 3}`, `"{\"name\": 3}"`},
		{llama3, `It is {"name": "f", "parameters": {}}`, `"It is {\"name\": \"f\", \"parameters\": {}}"`},
		{mistral, `[TOOL_CALLS] [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"b":[]}, "id": "abc"}]`, `"" 0:id1:f({}) 1:id2:g({"b":[]})`},
		{mistral, `See:[TOOL_CALLS][{"name": "f", "arguments": {}}]`, `"See:" 0:id1:f({})`},
	} {
		if got := read(&c.family, []string{c.text}); got != c.want {
			t.Errorf("%s %q\n got %s\nwant %s", c.family.Name, c.text, got, c.want)
		}
	}
}

func FuzzAnySplitGivesTheSameCalls(f *testing.F) {
	for _, s := range []string{
		"Hi <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"\\\\\\\"\", \"b\": [1, {}]}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
		"<tool_call><tool_call>{\"name\":\"\\u0066\",\"arguments\":{}}</tool_call>x<tool_call>", "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
		` {"name": "f", "parameters": {"a": 1}}{"name"`, `[TOOL_CALLS] [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}, "id": "x"}] [TOOL_CALLS]`, "\n \n",
	} {
		f.Add(s, uint64(1))
		f.Add(s, uint64(7))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		if len(text) > 2000 {
			return
		}
		random := rand.New(rand.NewPCG(seed, 1))
		var pieces []string
		for rest := text; rest != ""; {
			n := min(len(rest), 1+random.IntN(1+random.IntN(12)))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		for _, family := range []Family{hermes, llama3, mistral} {
			if whole, split := read(&family, []string{text}), read(&family, pieces); whole != split {
				t.Errorf("%s %q\nwhole %s\nsplit %s (%q)", family.Name, text, whole, split, pieces)
			}
		}
	})
}

// A watch sees the mark where a parser does, whatever the pieces.
func TestAWatchSeesTheMark(t *testing.T) {
	for _, c := range []struct {
		family Family
		pieces []string
		piece  int // in which it is completed; -1: never
		bytes  int
	}{
		{hermes, []string{"a", "<tool_call>"}, 1, 11},
		{hermes, []string{"a<", "tool", "_", "call>\n{"}, 3, 5},
		{hermes, []string{"<<tool", "_call", ">"}, 2, 1},
		{hermes, []string{"<tool", "call>"}, -1, 0},
		{llama3, []string{" ", "{\"", "name", "\": "}, 3, 1},
		{llama3, []string{"x", "{\"name\""}, -1, 0},
		{mistral, []string{"[TOOL", "_CALLS]"}, 1, 7},
	} {
		w, at, bytes := c.family.NewWatch(), -1, 0
		for i, p := range c.pieces {
			if n, ok := w.Completes([]byte(p)); ok {
				at, bytes = i, n
				break
			}
			w.Push([]byte(p))
		}
		if at != c.piece || bytes != c.bytes {
			t.Errorf("%s %q: in piece %d, byte %d; want %d, %d", c.family.Name, c.pieces, at, bytes, c.piece, c.bytes)
		}
	}
}

func TestHistoryIsWrittenAsTheModelWouldHave(t *testing.T) {
	weather := openai.Tool{Name: "weather", Raw: json.RawMessage(`{"type":"function", "function": {"name":"weather","description":"a: b, c"}}`)}
	messages := []openai.Message{
		{Role: "user", Content: "How is it?"},
		{Role: "assistant", Content: "I look.", Calls: []openai.Call{{ID: "1", Name: "weather", Arguments: `{"at":"A"}`}, {ID: "2", Name: "weather", Arguments: "broken"}}},
		{Role: "tool", Content: "wet", CallID: "1"}, {Role: "tool", Content: "dry", CallID: "2"},
	}
	chatml := func(mm []openai.Message) (string, error) {
		out := ""
		for _, m := range mm {
			out += "<" + m.Role + ">" + m.Content + "</>"
		}
		return out, nil
	}
	inst := func(mm []openai.Message) (string, error) {
		out, inside := "", false
		for _, m := range mm {
			if !inside {
				out, inside = out+"[INST] ", true
			}
			if m.Role == "user" {
				out += m.Content + " [/INST]"
			} else {
				out, inside = out+" "+m.Content+"</s>", false
			}
		}
		return out, nil
	}
	for _, c := range []struct {
		family Family
		render func([]openai.Message) (string, error)
		want   string
	}{
		{hermes, chatml, "<user>How is it?</><assistant>I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"at\":\"A\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": \"broken\"}\n</tool_call></><user><tool_response>\nwet\n</tool_response>\n<tool_response>\ndry\n</tool_response></>"},
		{mistral, inst, `[AVAILABLE_TOOLS] [{"type": "function", "function": {"name": "weather", "description": "a: b, c"}}][/AVAILABLE_TOOLS][INST] How is it? [/INST] I look.` + "\n" +
			`[TOOL_CALLS] [{"name": "weather", "arguments": {"at":"A"}, "id": "1"}, {"name": "weather", "arguments": "broken", "id": "2"}]</s>` +
			`[TOOL_RESULTS] {"content": "wet", "call_id": "1"}[/TOOL_RESULTS][TOOL_RESULTS] {"content": "dry", "call_id": "2"}[/TOOL_RESULTS]`},
	} {
		p, err := c.family.Prompt(c.family.Turns(messages, []openai.Tool{weather}), []openai.Tool{weather}, c.render)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, part := range p.Parts {
			got += part.Text
		}
		if c.family.show != nil {
			_, got, _ = strings.Cut(got, "</>")
		}
		if got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.family.Name, got, c.want)
		}
		if len(p.Ends) != 4 || p.Ends[2] != 0 || p.Ends[3] > len(p.Parts) || p.Ends[3] == 0 {
			t.Errorf("%s: ends %v of %d parts", c.family.Name, p.Ends, len(p.Parts))
		}
	}
}

func TestFamiliesAreTold(t *testing.T) {
	for template, want := range map[string]string{
		"{% ... <tool_call> ... %}": "hermes", "chatml": "hermes", "[INST] [TOOL_CALLS]": "mistral", "[TOOL_CALLS] [ARGS]": "generic",
		"<|start_header_id|> \"parameters\"": "llama3", "<|start_header_id|>": "generic", "": "generic", "mistral-v7": "generic",
	} {
		if got := ForModel(template, nil).Name; got != want {
			t.Errorf("%q: %s, want %s", template, got, want)
		}
	}
	if got := ForModel("mistral-v7", []string{"[TOOL_CALLS]"}).Name; got != "mistral" {
		t.Errorf("by control tokens: %s", got)
	}
}
