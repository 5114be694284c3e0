package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/chat"
)

func shape(t testing.TB, more string) *Shape {
	t.Helper()
	q, err := Translate([]byte(said(hi + more)))
	if err != nil || len(q.Problems) > 0 {
		t.Fatal(err, q.Problems)
	}
	return q.Shape("msg_1")
}

const showing = `,"thinking":{"type":"adaptive"},"stop_sequences":["END"]`

func TestWhole(t *testing.T) {
	const head = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[`
	const usage = `,"usage":{"input_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":3,"output_tokens":7}}`
	for _, c := range []struct{ name, more, choice, want string }{
		{"a text", "", `"message":{"role":"assistant","content":"a\nb"},"finish_reason":"stop","stop_reason":null`,
			`{"type":"text","text":"a\nb"}],"stop_reason":"end_turn","stop_sequence":null`},
		{"cut", "", `"message":{"content":"a"},"finish_reason":"length"`, `{"type":"text","text":"a"}],"stop_reason":"max_tokens","stop_sequence":null`},
		{"refused", "", `"message":{"content":null,"refusal":"no"},"finish_reason":"content_filter"`, `{"type":"text","text":"no"}],"stop_reason":"refusal","stop_sequence":null`},
		{"stopped", showing, `"message":{"content":"a"},"finish_reason":"stop","stop_reason":"END"`, `{"type":"text","text":"a"}],"stop_reason":"stop_sequence","stop_sequence":"END"`},
		{"by a stop of the engine's own", showing, `"message":{"content":"a"},"finish_reason":"stop","matched_stop":"</s>"`, `{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null`},
		{"nothing", "", `"message":{"content":""},"finish_reason":"stop"`, `],"stop_reason":"end_turn","stop_sequence":null`},
		{"thoughts that were asked for", showing, `"message":{"content":"a","reasoning_content":"hm"},"finish_reason":"stop"`,
			`{"type":"thinking","thinking":"hm","signature":"lotabots"},{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null`},
		{"without their text", `,"thinking":{"type":"adaptive","display":"omitted"}`, `"message":{"content":"a","reasoning":"hm"},"finish_reason":"stop"`,
			`{"type":"thinking","thinking":"","signature":"lotabots"},{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null`},
		{"thoughts that were not", "", `"message":{"content":"a","reasoning_content":"hm"},"finish_reason":"stop"`, `{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null`},
		{"calls", "", `"message":{"content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1.0}"}},{"function":{"name":"g","arguments":""}},{"id":"c3","function":{"name":"h","arguments":"{x"}}]},"finish_reason":"tool_calls"`,
			`{"type":"tool_use","id":"c1","name":"f","input":{"a": 1.0}},{"type":"tool_use","id":"toolu_msg_1_1","name":"g","input":{}},{"type":"tool_use","id":"c3","name":"h","input":{"INVALID_JSON":"{x"}}],"stop_reason":"tool_use","stop_sequence":null`},
		{"a call that was demanded", "", `"message":{"content":"","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"`,
			`{"type":"tool_use","id":"c1","name":"f","input":{}}],"stop_reason":"tool_use","stop_sequence":null`},
	} {
		answer := `{"id":"x","model":"other","choices":[{"index":0,` + c.choice + `}],"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":3}}}`
		out, err := shape(t, c.more).Whole([]byte("+"), []byte(answer))
		if want := "+" + head + c.want + usage; err != nil || string(out) != want {
			t.Errorf("%s: %v\n%s\n%s", c.name, err, out, want)
		}
		if !json.Valid(out[1:]) {
			t.Errorf("%s is no JSON", out)
		}
	}
	if _, err := shape(t, "").Whole(nil, []byte("<html>")); err == nil {
		t.Error("a page is taken for an answer")
	}
}

// A message is what a client of this API makes of a stream.
type message struct {
	Content []map[string]any
	Stop    string `json:"stop_reason"`
	Seq     any    `json:"stop_sequence"`
	Usage   map[string]any
}

// follow reads a stream as the official clients do, and holds it to the rules: one
// message_start first, blocks one after another with indices that ascend, one
// message_delta, message_stop last.
func follow(stream []byte) (m message, err error) {
	open, stopped, told := -1, false, false
	var input string
	for i, e := range events(stream) {
		name, data, ok := strings.Cut(e, "\ndata: ")
		if name = strings.TrimPrefix(name, "event: "); !ok || strings.Contains(data, "\n") {
			return m, fmt.Errorf("event %q", e)
		}
		var doc struct {
			Type    string
			Index   int
			Message message
			Block   map[string]any `json:"content_block"`
			Delta   map[string]any
			Usage   map[string]any
		}
		if err := json.Unmarshal([]byte(data), &doc); err != nil || doc.Type != name {
			return m, fmt.Errorf("event %q: %w", e, err)
		}
		if stopped || (i == 0) != (name == "message_start") {
			return m, fmt.Errorf("%s in the wrong place", name)
		}
		switch name {
		case "content_block_start":
			if open >= 0 || told || doc.Index != len(m.Content) {
				return m, fmt.Errorf("block %d begins while %d is open, behind %d", doc.Index, open, len(m.Content))
			}
			open, input = doc.Index, ""
			m.Content = append(m.Content, doc.Block)
		case "content_block_delta":
			if doc.Index != open {
				return m, fmt.Errorf("a delta of block %d, and %d is open", doc.Index, open)
			}
			b := m.Content[open]
			field := map[string]string{"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}[doc.Delta["type"].(string)]
			if field == "" {
				input += doc.Delta["partial_json"].(string)
				continue
			}
			b[field] = b[field].(string) + doc.Delta[field].(string)
		case "content_block_stop":
			if doc.Index != open {
				return m, fmt.Errorf("block %d ends, and %d is open", doc.Index, open)
			}
			if b := m.Content[open]; b["type"] == "tool_use" && input != "" {
				var v any
				if json.Unmarshal([]byte(input), &v) != nil {
					v = map[string]any{"INVALID_JSON": input}
				}
				b["input"] = v
			}
			open = -1
		case "message_delta":
			if open >= 0 || told {
				return m, fmt.Errorf("message_delta twice, or in a block")
			}
			told = true
			m.Stop, _ = doc.Delta["stop_reason"].(string)
			m.Seq, m.Usage = doc.Delta["stop_sequence"], doc.Usage
		case "message_stop":
			stopped = true
		case "message_start", "ping":
		default:
			return m, fmt.Errorf("an event of type %s", name)
		}
	}
	if !stopped || !told {
		return m, fmt.Errorf("the stream has no end")
	}
	return m, nil
}

// events are those of a stream, without comments.
func events(stream []byte) (out []string) {
	for _, e := range strings.Split(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		if !strings.HasPrefix(e, ":") {
			out = append(out, e)
		}
	}
	return out
}

// drawn is an answer, as an engine streams it and as it gives it whole.
type drawn struct {
	events [][]byte
	whole  []byte
}

// draw makes an answer: what the model thinks, a text, calls; interleaved calls too.
func draw(t *rapid.T) drawn {
	var d drawn
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b\n", "\"", "é", "😀", "data: x\n\n", "\\u0000\x00"}), 0, 5)
	event := func(v any) {
		b, _ := json.Marshal(v)
		d.events = append(d.events, []byte("data: "+string(b)+"\n\n"))
	}
	choice := func(delta map[string]any, finish any) map[string]any {
		return map[string]any{"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}}
	}
	event(choice(map[string]any{"role": "assistant", "content": ""}, nil))
	d.events = append(d.events, []byte(": lotabots says something\n\n"))
	message := map[string]any{"content": nil}
	for _, field := range []string{"reasoning_content", "content"} {
		text := ""
		for _, w := range words.Draw(t, field) {
			text += w
			event(choice(map[string]any{field: w}, nil))
		}
		if text != "" {
			message[field] = text
		}
	}
	finish := rapid.SampledFrom([]string{"stop", "length"}).Draw(t, "finish")
	if n := rapid.IntRange(0, 3).Draw(t, "calls"); n > 0 {
		finish = "tool_calls"
		message["tool_calls"] = calls(t, n, func(c map[string]any) { event(choice(map[string]any{"tool_calls": []any{c}}, nil)) })
	}
	usage := map[string]any{"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": map[string]any{"cached_tokens": 2}}
	event(choice(map[string]any{}, finish))
	if rapid.Bool().Draw(t, "usage apart") {
		event(map[string]any{"choices": []any{}, "usage": usage})
	} else {
		d.events = d.events[:len(d.events)-1]
		last := choice(map[string]any{}, finish)
		last["usage"] = usage
		event(last)
	}
	d.events = append(d.events, []byte("data: [DONE]\n\n"))
	d.whole, _ = json.Marshal(map[string]any{"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": finish}}, "usage": usage})
	return d
}

// calls tells n calls in pieces, one call after another or all at once.
func calls(t *rapid.T, n int, tell func(map[string]any)) []any {
	var whole []any
	var rest [][]string
	for i := range n {
		arguments := rapid.SampledFrom([]string{"{}", `{"a": [1, "x"]}`, `{"long":"` + strings.Repeat("é", 20) + `"}`}).Draw(t, "arguments")
		var pieces []string
		for left := []rune(arguments); len(left) > 0; {
			k := rapid.IntRange(1, len(left)).Draw(t, "cut")
			pieces, left = append(pieces, string(left[:k])), left[k:]
		}
		rest = append(rest, pieces)
		f := map[string]any{"name": fmt.Sprint("f", i), "arguments": arguments}
		whole = append(whole, map[string]any{"id": fmt.Sprint("c", i), "type": "function", "function": f})
	}
	begun := make([]bool, n)
	one := func(i int) {
		c := map[string]any{"index": i}
		f := map[string]any{}
		if !begun[i] {
			begun[i], c["id"], f["name"] = true, fmt.Sprint("c", i), fmt.Sprint("f", i)
		} else {
			f["arguments"], rest[i] = rest[i][0], rest[i][1:]
		}
		c["function"] = f
		tell(c)
	}
	mixed := rapid.Bool().Draw(t, "mixed")
	for i := 0; i < n; {
		k := i
		if mixed {
			for k = rapid.IntRange(i, n-1).Draw(t, "which"); begun[k] && len(rest[k]) == 0 || k > 0 && !begun[k-1]; k = (k + 1) % n {
			}
		}
		one(k)
		for i < n && begun[i] && len(rest[i]) == 0 {
			i++
		}
	}
	return whole
}

// TestStreams: however an answer comes, in whatever groups of events, its stream is well
// formed and says what the whole answer says.
func TestStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		q, _ := Translate([]byte(said(hi + showing)))
		var stream []byte
		s := q.Shape("msg_1")
		for left := d.events; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "group")
			var err error
			if stream, err = s.Events(stream, bytes.Join(left[:n], nil)); err != nil {
				t.Fatal(err)
			}
			left = left[n:]
		}
		got, err := follow(stream)
		if err != nil {
			t.Fatalf("%v\n%s", err, stream)
		}
		whole, err := q.Shape("msg_1").Whole(nil, d.whole)
		if err != nil {
			t.Fatal(err)
		}
		var want message
		if err := json.Unmarshal(whole, &want); err != nil {
			t.Fatal(err)
		}
		if len(got.Content) == 0 {
			got.Content = want.Content[:0]
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\n%+v\n%s", got, want, stream)
		}
	})
}

// TestHiddenThoughts keep the connection alive.
func TestHiddenThoughts(t *testing.T) {
	s := shape(t, "")
	var out []byte
	for range 3 * pingEvery {
		out, _ = s.Events(out, []byte("data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"))
	}
	if n := bytes.Count(out, []byte("event: ping\n")); n < 2 || n > 3 || bytes.Contains(out, []byte("hm")) {
		t.Errorf("%d pings in %s", n, out)
	}
}

// TestLate: what cannot be told in order is an error, and not left out.
func TestLate(t *testing.T) {
	s := shape(t, "")
	events := `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}` + "\n\n" +
		`data: {"choices":[{"delta":{"content":"x"}}]}` + "\n\n" + `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}` + "\n\n"
	if out, err := s.Events(nil, []byte(events)); err == nil {
		t.Errorf("%s", out)
	}
	e := spec.Errorf(spec.CodeStreamBroken, "Broken.")
	if got := string(s.Failed(nil, e, "r")); !strings.HasPrefix(got, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"") || !strings.HasSuffix(got, "\"request_id\":\"r\"}\n\n") {
		t.Error(got)
	}
}

// TestNoEnd: the end mark does not stand for why an answer ended.
func TestNoEnd(t *testing.T) {
	const text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"
	for _, events := range []string{"data: [DONE]\n\n", text + "data: [DONE]\n\n"} {
		if out, err := shape(t, "").Events(nil, []byte(events)); !errors.Is(err, chat.ErrUnfinished) {
			t.Errorf("%q: %s, %v", events, out, err)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}},{\"index\":1}]}}]}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":9},{\"index\":-1,\"function\":{\"name\":\"\\u0000\"}}]}}],\"usage\":{}}\n\n"))
	f.Fuzz(func(t *testing.T, events []byte) {
		s := shape(t, showing)
		out, err := s.Events(nil, events)
		if err != nil {
			return
		}
		if out, err = s.Events(out, []byte("\n\ndata: [DONE]\n\n")); err != nil {
			return
		}
		if _, err := follow(out); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

// FuzzWhole: of whatever an engine answers, what the client gets is JSON, or there is an error.
func FuzzWhole(f *testing.F) {
	f.Add([]byte(`{"id":"a","choices":[{"message":{"content":"x","tool_calls":[{"id":"b","function":{"name":"f","arguments":"{"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":-1}}`))
	f.Add([]byte(`{"choices":[{"message":{"content":[1],"reasoning_content":"\ud800","refusal":"no"},"finish_reason":7},null],"usage":{"completion_tokens":1e99}}`))
	f.Add([]byte(`{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"arguments":"{\"a\":inf}"}}]},"logprobs":{"content":[{"token":"a","logprob":nan}]}}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		out, err := shape(t, showing).Whole(nil, answer)
		if err == nil && utf8.Valid(answer) && !json.Valid(out) {
			t.Fatalf("%s became %s", answer, out)
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	event := []byte("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n")
	s := shape(b, "")
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _ = s.Events(out[:0], event)
	}
}
