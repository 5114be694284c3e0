package native

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/openai"
)

// A plain tells of failures by their code.
type plain struct{}

func (plain) ContentType(bool) string                           { return "" }
func (plain) Failed(dst []byte, e *spec.Error, _ string) []byte { return append(dst, e.Code...) }
func (plain) Ping(dst []byte) []byte                            { return dst }
func named(kind, data string) string                            { return "event: " + kind + "\ndata: " + data + "\n\n" }
func typed(kind, rest string) string                            { return named(kind, `{"type":"`+kind+`"`+rest+`}`) }
func usageOf(prompt, completion, cached int, told bool) openai.Usage {
	return openai.Usage{Prompt: prompt, Completion: completion, Cached: cached, HasCached: told}
}

const wordsOfTheModel = `,"index":0,"delta":{"type":"text_delta","text":"message_stop \"error\" [DONE] event: error"}`

func TestStreams(t *testing.T) {
	message := typed("message_start", `,"message":{"usage":{"input_tokens":7,"cache_read_input_tokens":2,"output_tokens":1}}`) +
		": a comment\n\n" + typed("content_block_delta", wordsOfTheModel) + typed("content_block_delta", wordsOfTheModel)
	response := typed("response.created", `,"sequence_number":0,"response":{"error":null,"usage":null}`) + typed("response.output_text.delta", `,"delta":"response.completed"`)
	for name, c := range map[string]struct {
		api          API
		events       string
		done, failed bool
		usage        openai.Usage
		told         bool
		says         string // of the error
	}{
		"a message": {Messages, message + typed("message_delta", `,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}`) + typed("message_stop", ""), true, false,
			usageOf(9, 5, 2, true), true, ""},
		"its usage at the end alone": {Messages, typed("message_delta", `,"usage":{"input_tokens":3,"output_tokens":5}`) + typed("message_stop", ""), true, false, usageOf(3, 5, 0, false), true, ""},
		"a message half-way":         {Messages, message, false, false, usageOf(9, 2, 2, true), false, ""},
		"a message that fails":       {Messages, message + named("error", `{"type":"error","error":{"type":"api_error","message":"out of memory"}}`), false, true, usageOf(9, 2, 2, true), false, "out of memory"},
		"an error without a type":    {Messages, "data: {\"error\":{\"message\":\"bad\"}}\n\n", false, true, openai.Usage{}, false, "bad"},
		"a response": {Responses, response + typed("response.completed", `,"response":{"usage":{"input_tokens":4,"input_tokens_details":{"cached_tokens":3},"output_tokens":6}}`), true, false,
			usageOf(4, 6, 3, true), true, ""},
		"an incomplete response": {Responses, response + typed("response.incomplete", `,"response":{"usage":{"input_tokens":4,"output_tokens":6}}`), true, false, usageOf(4, 6, 0, false), true, ""},
		"a response that fails":  {Responses, response + typed("response.failed", `,"response":{"error":{"code":"server_error","message":"no memory"}}`), false, true, usageOf(0, 1, 0, false), false, "no memory"},
		"an error event":         {Responses, response + typed("error", `,"code":"x","message":"gone"`), false, true, usageOf(0, 1, 0, false), false, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(c.api, plain{}, nil)
			n, done, failed := a.Ending([]byte(c.events + typed("ping", "")))
			if done != c.done || failed != c.failed || (done || failed) && n != len(c.events) {
				t.Errorf("ends at %d of %d: %v %v", n, len(c.events), done, failed)
			}
			if u, told := a.Usage(); u != c.usage || told != c.told {
				t.Errorf("usage %+v %v", u, told)
			}
			last := []byte(c.events)[openai.LastEvent([]byte(c.events)):]
			if done, failed := a.Ends(bytes.TrimRight(last, "\n")); done != c.done || failed != c.failed {
				t.Errorf("without its empty line: %v %v", done, failed)
			}
			if c.failed {
				if e := a.Error(last); !strings.Contains(e.Message, c.says) {
					t.Error(e.Message)
				}
			}
			passes := c.events
			if c.failed { // the gateway tells of it in its own words
				passes = passes[:len(passes)-len(last)]
			}
			if out, err := a.Events(nil, []byte(passes+"data: [DONE]\n\n")); err != nil || string(out) != passes {
				t.Errorf("%v %s", err, out)
			}
		})
	}
}

func TestWhole(t *testing.T) {
	for _, c := range []struct {
		api    API
		answer string
		good   bool
		usage  openai.Usage
	}{
		{Messages, `{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":1}}`, true, usageOf(4, 4, 1, true)},
		{Responses, `{"object":"response","error":null,"output":[],"usage":{"input_tokens":3,"output_tokens":4}}`, true, usageOf(3, 4, 0, false)},
		{Responses, `{"object":"response"}`, true, openai.Usage{}},
		{Messages, `{"object":"chat.completion","choices":[]}`, false, openai.Usage{}},
		{Responses, `{"type":"message"}`, false, openai.Usage{}}, {Messages, `[]`, false, openai.Usage{}}, {Messages, `{`, false, openai.Usage{}},
	} {
		a := New(c.api, plain{}, nil)
		out, err := a.Whole(nil, []byte(c.answer))
		if u, told := a.Usage(); (err == nil) != c.good || c.good && string(out) != c.answer || u != c.usage || told != (c.usage != openai.Usage{}) {
			t.Errorf("%s: %v %s %+v %v", c.answer, err, out, u, told)
		}
	}
}

// TestWhatIsNoEvent is not passed on.
func TestWhatIsNoEvent(t *testing.T) {
	for _, bad := range []string{"data: x\n\n", "data: {\"choices\":[]}\n\n", "event: y\ndata: 5\n\n"} {
		if out, err := New(Messages, plain{}, nil).Events(nil, []byte(typed("ping", "")+bad)); err == nil || string(out) != typed("ping", "") {
			t.Errorf("%q: %v %q", bad, err, out)
		}
	}
}

// TestFailedComesBehind what has passed.
func TestFailedComesBehind(t *testing.T) {
	behind := -1
	a := New(Responses, plain{}, func(n int) { behind = n })
	_, _ = a.Events(nil, []byte(typed("response.created", "")+": x\n\n"+typed("response.in_progress", "")))
	if out := a.Failed(nil, &spec.Error{Code: spec.CodeStreamBroken}, "r"); string(out) != string(spec.CodeStreamBroken) || behind != 2 {
		t.Errorf("%s behind %d", out, behind)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(typed("message_start", `,"message":{"usage":{"input_tokens":-7}}`)+"data: [DONE]\n\n"), true)
	f.Add([]byte("event: error\r\ndata: {\r\n\r\ndata:\n\n"), false)
	f.Fuzz(func(t *testing.T, events []byte, messages bool) {
		a := New(API(0), plain{}, nil)
		if !messages {
			a = New(Responses, plain{}, nil)
		}
		n, done, failed := a.Ending(events)
		if n < 0 || n > len(events) || done && failed || !done && !failed && n != len(events) {
			t.Fatalf("%d of %d, %v %v", n, len(events), done, failed)
		}
		out, _ := a.Events(nil, events)
		if u, _ := a.Usage(); len(out) > len(events) || u.Prompt < 0 || u.Completion < 0 || u.Cached > u.Prompt {
			t.Fatalf("%+v", u)
		}
		_ = a.Error(events)
		if out, err := a.Whole(nil, events); err == nil && !bytes.Equal(out, events) {
			t.Fatalf("%q became %q", events, out)
		}
	})
}
