package openai

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	for _, c := range []struct {
		event, text, cut       string
		calls, other, finish   bool
		understood, role, tell bool
	}{
		{event: `{"id":"x","created":1,"choices":[{"index":0,"delta":{"content":"a\"b"},"finish_reason":null}]}`, text: `a\"b`, understood: true},
		{event: `{"choices": [ {"delta": {"role": "assistant", "content": ""}} ] }`, understood: true, role: true},
		{event: `{"choices":[{"delta":{"content":null,"role":"assistant"},"logprobs":null,"finish_reason":null}]}`, understood: true, role: true},
		{event: `{"choices":[{"delta":{},"finish_reason":"stop","stop_reason":null}]}`, understood: true, finish: true},
		{event: `{"choices":[{"text":"x{}[]","index":0,"logprobs":{"tokens":["\"content\":\"no"]}}]}`, text: "x{}[]", understood: true},
		{event: `{"choices":[{"delta":{"content":"q"},"token_ids":[7,8]}],"usage":null}`, text: "q", understood: true, tell: true},
		{event: `{"choices":[{"token_ids":[7], "delta":{"content":"q"}}]}`, text: "q", understood: true, tell: true},
		{event: `{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, understood: true, calls: true},
		{event: `{"choices":[{"delta":{"content":"a","tool_calls":[],"reasoning_content":null,"refusal":""}}]}`, text: "a", understood: true},
		{event: `{"choices":[{"delta":{"reasoning_content":"hm"}}]}`, understood: true, other: true},
		{event: `{"choices":[{"delta":{"content":[{"type":"text"}]}}]}`, understood: true, other: true},
		{event: `{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`, text: "b", understood: true, other: true},
		{event: `{"choices":[],"usage":{"prompt_tokens":1}}`, understood: true},
		{event: `{"error":{"message":"x"}}`}, {event: `[DONE]`}, {event: ``}, {event: `{"choices":[`}, {event: `{"choices":[{]}`}, {event: `{"choices":[]} x`},
		{event: `{"choices":[{"delta":{"content":"a}]}`}, {event: `{"choices":{}}`}, {event: `{"choices"`}, {event: `{"choices":[1]}`},
	} {
		event := []byte("data: " + c.event + "\n\n")
		var k Chunk
		if ok := k.Scan(event); ok != c.understood {
			t.Errorf("%s: %v %+v", c.event, ok, k)
		} else if !ok {
			continue
		}
		if string(k.Text.Of(event)) != c.text || k.Calls != c.calls || k.Other != c.other || k.Finish != c.finish ||
			(k.Role.End > 0) != c.role || (k.Tokens.End > 0) != c.tell {
			t.Errorf("%s: %+v", c.event, k)
		}
		for _, cut := range []Span{k.Told, k.Role} {
			left := append(bytes.Clone(event[:cut.At]), event[cut.End:]...)
			if _, data, _ := bytes.Cut(left, []byte("data:")); !json.Valid(data) {
				t.Errorf("%s: without %s it is %s", c.event, cut.Of(event), left)
			}
		}
	}
}

// TestScanEach: each choice of an event is told of, and those of the event before are not.
func TestScanEach(t *testing.T) {
	var k Chunk
	for in, want := range map[string][]Ended{
		`{"choices":[{"index":3,"finish_reason":"stop"}]}`:                                                                        {{3, true}},
		`{"choices":[{"finish_reason":"stop","index":1},{"text":"b","finish_reason":null},{"index":2,"finish_reason":"length"}]}`: {{1, true}, {0, false}, {2, true}},
		`{"choices":[{"finish_reason":""},{"index":1,"finish_reason":false}]}`:                                                    {{0, false}, {1, false}},
	} {
		if ok := k.Scan([]byte("data: " + in + "\n\n")); !ok || !slices.Equal(append([]Ended{{k.Index, k.Finish}}, k.Rest...), want) {
			t.Errorf("%s: %v %+v", in, ok, k)
		}
	}
}

func TestNextEvent(t *testing.T) {
	for in, want := range map[string]int{"": 0, "data: x\n": 0, "data: x\n\ndata: y\n\n": 9, "data: x\r\n\r\ndata": 11, "\n\n": 2, "x\n\r\ny\n\n": 4} {
		if got := NextEvent([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestShiftUsage(t *testing.T) {
	event := []byte(`data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\n")
	var k Chunk
	if !k.Scan(event) || k.Usage.End == 0 || k.Choices != 0 {
		t.Fatalf("%+v", k)
	}
	want := strings.Replace(strings.Replace(string(event), ":12", ":7", 1), ":3,", ":8,", 1)
	if got := ShiftUsage(nil, event, k.Usage, 5); string(got) != want {
		t.Errorf("%s", got)
	}
}

// FuzzScan: whatever an engine says, its places are within the event, and what is
// cut out of valid JSON leaves valid JSON.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"id":"x","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"a\"b"},"token_ids":[1,2],"finish_reason":null}],"usage":{"prompt_tokens":1}}`))
	f.Add([]byte(`{"choices":[{"token_ids":[1],"delta":{"tool_calls":[{}],"content":"\\"}}]}`))
	f.Add([]byte(`{"choices":[{"delta":{"content":"\`))
	f.Fuzz(func(t *testing.T, in []byte) {
		event := append(append([]byte("data: "), in...), "\n\n"...)
		var k Chunk
		understood := k.Scan(event)
		for _, s := range []Span{k.Text, k.Role, k.Tokens, k.Told, k.Usage, k.ID, k.Created} {
			if s.At < 0 || s.End < s.At || s.End > len(event) {
				t.Fatalf("%+v of %d bytes", s, len(event))
			}
		}
		if k.Usage.End > 0 {
			ShiftUsage(nil, event, k.Usage, 3)
		}
		if !understood || !json.Valid(in) {
			return
		}
		if text := append(append([]byte{'"'}, k.Text.Of(event)...), '"'); !json.Valid(text) {
			t.Fatalf("text %s of %s", text, in)
		}
		for _, cut := range []Span{k.Told, k.Role} {
			left := append(bytes.Clone(event[:cut.At]), event[cut.End:]...)
			if k.Choices == 1 && !json.Valid(left[len("data:"):]) {
				t.Fatalf("%s without %s is %s", in, cut.Of(event), left)
			}
		}
	})
}
