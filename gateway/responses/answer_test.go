package responses

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

const asked = `{"model":"m","input":"hi","top_logprobs":1,"metadata":{"a":"b"},"tools":[{"type":"function","name":"f0","parameters":{}}]}`

func shape(t testing.TB) *Shape {
	t.Helper()
	q, err := Translate([]byte(asked))
	if err != nil || len(q.Problems) > 0 {
		t.Fatal(err, q.Problems)
	}
	return q.Shape("1", 1700000000)
}

func TestWhole(t *testing.T) {
	const rest = `"background":false,"previous_response_id":null,"service_tier":"default","store":false,"truncation":"disabled","instructions":null,"max_output_tokens":null,"max_tool_calls":null,` +
		`"metadata":{"a":"b"},"prompt_cache_key":null,"safety_identifier":null,"temperature":1,"top_p":1,"top_logprobs":1,"user":null,"parallel_tool_calls":true,"tool_choice":"auto",` +
		`"tools":[{"type":"function","name":"f0","parameters":{}}],"reasoning":{"effort":null,"summary":null},"text":{"format":{"type":"text"}},"model":"m","output":[`
	const usage = `],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":3,"cache_write_tokens":0},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":12}}`
	for _, c := range []struct{ name, choice, status, items string }{
		{"a text", `"message":{"content":"a\nb"},"finish_reason":"stop"`, `"completed","error":null,"incomplete_details":null,`,
			`{"id":"msg_1_0","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"a\nb"}]}`},
		{"cut, with logprobs", `"message":{"content":"a"},"finish_reason":"length","logprobs":{"content":[{"token":"a","logprob":-0.50,"bytes":[97],"top_logprobs":[]}]}`,
			`"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},`,
			`{"id":"msg_1_0","type":"message","status":"incomplete","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[{"token":"a","logprob":-0.50,"bytes":[97],"top_logprobs":[]}],"text":"a"}]}`},
		{"refused", `"message":{"refusal":"no"},"finish_reason":"stop"`, `"completed","error":null,"incomplete_details":null,`,
			`{"id":"msg_1_0","type":"message","status":"completed","role":"assistant","content":[{"type":"refusal","refusal":"no"}]}`},
		{"thoughts and calls", `"message":{"reasoning":"hm","tool_calls":[{"id":"c1","function":{"name":"f0","arguments":"{\"a\":1}"}},{"function":{"name":"g","arguments":""}}]},"finish_reason":"tool_calls"`,
			`"completed","error":null,"incomplete_details":null,`,
			`{"id":"rs_1_0","type":"reasoning","status":"completed","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},` +
				`{"id":"fc_1_1","type":"function_call","status":"completed","call_id":"c1","name":"f0","arguments":"{\"a\":1}"},{"id":"fc_1_2","type":"function_call","status":"completed","call_id":"call_1_2","name":"g","arguments":""}`},
	} {
		answer := `{"choices":[{"index":0,` + c.choice + `}],"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":4}}}`
		out, err := shape(t).Whole(nil, []byte(answer))
		if want := `{"id":"resp_1","object":"response","created_at":1700000000,"status":` + c.status + rest + c.items + usage; err != nil || string(out) != want {
			t.Errorf("%s: %v\n%s\n%s", c.name, err, out, want)
		}
		if !json.Valid(out) {
			t.Errorf("%s is no JSON", out)
		}
	}
}

// A follower is what a client of this API makes of a stream.
type follower struct {
	sequence int
	items    []map[string]any
	ended    map[int]bool
	last     map[string]any // the response that the last event tells
	kind     string
}

// follow reads a stream, and holds it to the rules: numbers that ascend by one, items and
// parts that are added before anything is said of them and done once, and a last event
// that says what the others have said.
func follow(stream []byte) (f follower, err error) {
	f.ended = map[int]bool{}
	for _, e := range strings.Split(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		if strings.HasPrefix(e, ":") {
			continue
		}
		name, data, ok := strings.Cut(e, "\ndata: ")
		name = strings.TrimPrefix(name, "event: ")
		var doc map[string]any
		if err := json.Unmarshal([]byte(data), &doc); err != nil || !ok || doc["type"] != name {
			return f, fmt.Errorf("event %q: %w", e, err)
		}
		if doc["sequence_number"] != float64(f.sequence) || f.last != nil {
			return f, fmt.Errorf("%s has number %v, not %d, or follows the last event", name, doc["sequence_number"], f.sequence)
		}
		if want := map[int]string{0: "response.created", 1: "response.in_progress"}[f.sequence]; want != "" && want != name {
			return f, fmt.Errorf("%s instead of %s", name, want)
		}
		f.sequence++
		if err := f.take(name, doc); err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
	}
	if f.last == nil || len(f.ended) != len(f.items) {
		return f, fmt.Errorf("the stream has no end, or items have none: %v", f.ended)
	}
	return f, nil
}

func (f *follower) take(name string, doc map[string]any) error {
	at, hasItem := doc["output_index"].(float64)
	switch name {
	case "response.output_item.added":
		if int(at) != len(f.items) || !hasItem {
			return fmt.Errorf("item %v behind %d", at, len(f.items))
		}
		f.items = append(f.items, doc["item"].(map[string]any))
		return nil
	case "response.completed", "response.incomplete", "response.failed":
		f.kind, f.last = name, doc["response"].(map[string]any)
		return nil
	}
	if !hasItem {
		return nil
	}
	if int(at) >= len(f.items) || f.ended[int(at)] {
		return fmt.Errorf("item %v is not there, or has ended", at)
	}
	item := f.items[int(at)]
	if name == "response.output_item.done" {
		done := doc["item"].(map[string]any)
		item["status"] = done["status"]
		if f.ended[int(at)] = true; !reflect.DeepEqual(item, done) {
			return fmt.Errorf("%v was told, and it is %v", item, done)
		}
		return nil
	}
	if item["id"] != doc["item_id"] {
		return fmt.Errorf("item %v has the id %v", at, item["id"])
	}
	switch name {
	case "response.function_call_arguments.delta":
		item["arguments"] = item["arguments"].(string) + doc["delta"].(string)
		return nil
	case "response.function_call_arguments.done":
		if item["arguments"] != doc["arguments"] || item["name"] != doc["name"] {
			return fmt.Errorf("the arguments were %v", item["arguments"])
		}
		return nil
	}
	parts, n := item["content"].([]any), int(doc["content_index"].(float64))
	if name == "response.content_part.added" {
		if n != len(parts) {
			return fmt.Errorf("part %d behind %d", n, len(parts))
		}
		item["content"] = append(parts, doc["part"])
		return nil
	}
	part := parts[n].(map[string]any)
	field := "text"
	if part["type"] == "refusal" {
		field = "refusal"
	}
	switch {
	case strings.HasSuffix(name, ".delta"):
		part[field] = part[field].(string) + doc["delta"].(string)
		if more, ok := doc["logprobs"].([]any); ok {
			part["logprobs"] = append(part["logprobs"].([]any), more...)
		}
	case name == "response.content_part.done" && !reflect.DeepEqual(part, doc["part"]), name != "response.content_part.done" && part[field] != doc[field]:
		return fmt.Errorf("%v was told", part)
	}
	return nil
}

// TestStreams: however an answer comes, in whatever groups of events, its stream is well
// formed, and the response that ends it is what a whole answer would have been.
func TestStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		q, _ := Translate([]byte(asked))
		var stream []byte
		s := q.Shape("1", 2)
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
		whole, err := q.Shape("1", 2).Whole(nil, d.whole)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := json.Unmarshal(whole, &want); err != nil {
			t.Fatal(err)
		}
		if got.kind != "response."+want["status"].(string) || !reflect.DeepEqual(got.last, want) {
			t.Fatalf("%s\n%v\n%v\n%s", got.kind, got.last, want, stream)
		}
		for i, item := range got.items {
			if !reflect.DeepEqual(any(item), got.last["output"].([]any)[i]) {
				t.Fatalf("item %d: %v", i, item)
			}
		}
	})
}

type drawn struct {
	events [][]byte
	whole  []byte
}

// draw makes an answer, as an engine streams it and as it gives it whole. It says at
// least something: a stream that says nothing has no item, and a whole answer an empty one.
func draw(t *rapid.T) (d drawn) {
	event := func(choice map[string]any, usage any) {
		v := map[string]any{"choices": []any{}}
		if choice != nil {
			choice["index"] = 0
			v["choices"] = []any{choice}
		}
		if usage != nil {
			v["usage"] = usage
		}
		b, _ := json.Marshal(v)
		d.events = append(d.events, []byte("data: "+string(b)+"\n\n"))
	}
	event(map[string]any{"delta": map[string]any{"role": "assistant", "content": ""}}, nil)
	d.events = append(d.events, []byte(": lotabots says something\n\n"))
	message, whole := map[string]any{}, map[string]any{"index": 0}
	var probable []any
	for _, field := range []string{"reasoning_content", "content", "refusal"} {
		text := ""
		for _, w := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b\n", "\"", "é", "😀", "\\\x00"}), 0, 4).Draw(t, field) {
			text += w
			c := map[string]any{"delta": map[string]any{field: w}}
			if field == "content" {
				p := map[string]any{"token": w, "logprob": -1.5}
				probable = append(probable, p)
				c["logprobs"] = map[string]any{"content": []any{p}}
			}
			event(c, nil)
		}
		if text != "" {
			message[field] = text
		}
	}
	if len(probable) > 0 {
		whole["logprobs"] = map[string]any{"content": probable}
	}
	finish := rapid.SampledFrom([]string{"stop", "length", "content_filter"}).Draw(t, "finish")
	n := rapid.IntRange(0, 3).Draw(t, "calls")
	if message["content"] == nil && message["refusal"] == nil {
		n = max(n, 1)
	}
	if n > 0 {
		finish = "tool_calls"
		message["tool_calls"] = calls(t, n, func(c map[string]any) { event(map[string]any{"delta": map[string]any{"tool_calls": []any{c}}}, nil) })
	}
	usage := map[string]any{"prompt_tokens": 9, "completion_tokens": 4}
	if rapid.Bool().Draw(t, "usage apart") {
		event(map[string]any{"delta": map[string]any{}, "finish_reason": finish}, nil)
		event(nil, usage)
	} else {
		event(map[string]any{"delta": map[string]any{}, "finish_reason": finish}, usage)
	}
	d.events = append(d.events, []byte("data: [DONE]\n\n"))
	whole["message"], whole["finish_reason"] = message, finish
	d.whole, _ = json.Marshal(map[string]any{"choices": []any{whole}, "usage": usage})
	return d
}

// calls tells n calls in pieces, in any order of pieces; calls begin in their order.
func calls(t *rapid.T, n int, tell func(map[string]any)) (whole []any) {
	left := make([][]rune, n)
	for i := range n {
		arguments := rapid.SampledFrom([]string{"{}", `{"a":[1,"x"]}`, `{"long":"ééé"}`}).Draw(t, "arguments")
		left[i] = []rune(arguments)
		whole = append(whole, map[string]any{"id": fmt.Sprint("c", i), "function": map[string]any{"name": fmt.Sprint("f", i), "arguments": arguments}})
	}
	for begun, rest := 0, n; rest > 0; {
		k := rapid.IntRange(0, min(begun, n-1)).Draw(t, "which")
		c, f := map[string]any{"index": k}, map[string]any{}
		if k == begun {
			begun++
			c["id"], f["name"] = fmt.Sprint("c", k), fmt.Sprint("f", k)
		}
		if len(left[k]) == 0 {
			continue
		}
		cut := rapid.IntRange(1, len(left[k])).Draw(t, "cut")
		f["arguments"], left[k] = string(left[k][:cut]), left[k][cut:]
		if len(left[k]) == 0 {
			rest--
		}
		c["function"] = f
		tell(c)
	}
	return whole
}

// TestFailed: a stream that fails tells what was whole, and why it failed.
func TestFailed(t *testing.T) {
	s := shape(t)
	out, err := s.Events(nil, []byte("data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	was := len(out)
	out = s.Failed(out, spec.Errorf(spec.CodeStreamBroken, "It \"broke\"."), "r")
	if !bytes.HasPrefix(out[was:], []byte("event: error\ndata: {\"type\":\"error\",\"sequence_number\":11,\"code\":\"stream_broken\"")) {
		t.Errorf("%s", out[was:])
	}
	at := bytes.LastIndex(out, []byte("data: "))
	var doc struct {
		Response struct {
			Status string
			Output []any
			Error  struct{ Code, Message string }
		}
	}
	if err := json.Unmarshal(out[at+6:], &doc); err != nil || doc.Response.Status != "failed" || len(doc.Response.Output) != 1 || doc.Response.Error.Code != "server_error" {
		t.Errorf("%v %+v", err, doc)
	}
	if more, _ := s.Events(nil, []byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n")); len(more) > 0 {
		t.Errorf("after the end: %s", more)
	}
}

// TestNoEnd: the end mark does not stand for why an answer ended.
func TestNoEnd(t *testing.T) {
	const text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"
	for _, events := range []string{"data: [DONE]\n\n", text + "data: [DONE]\n\n"} {
		if out, err := shape(t).Events(nil, []byte(events)); !errors.Is(err, chat.ErrUnfinished) {
			t.Errorf("%q: %s, %v", events, out, err)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"refusal\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}},{\"index\":1}]}}]}\n\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"reasoning\":\"a\",\"content\":\"b\"},\"logprobs\":{\"content\":[{\"a\":inf}]}}],\"usage\":{}}\n\n"))
	f.Fuzz(func(t *testing.T, events []byte) {
		s := shape(t)
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
		out, err := shape(t).Whole(nil, answer)
		if err == nil && utf8.Valid(answer) && !json.Valid(out) {
			t.Fatalf("%s became %s", answer, out)
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	event := []byte("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n")
	s := shape(b)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _ = s.Events(out[:0], event)
	}
}

// TestParam turns what an engine says of a chat's field into the client's word for it.
func TestParam(t *testing.T) {
	for in, want := range map[string]string{"messages.1.content": "input", "prompt": "input", "tool_choice.function.name": "tool_choice.name", "tools[0].function.parameters.x": "tools[0].parameters.x",
		"response_format.json_schema.schema": "text.format.schema", "max_tokens": "max_output_tokens", "reasoning_effort": "reasoning.effort", "temperature": "temperature"} {
		if got := Param(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
