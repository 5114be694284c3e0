package answers

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWhole(t *testing.T) {
	const sse, object = "text/event-stream; charset=utf-8", "application/json"
	chunk := func(index, finish string) string {
		return `data: {"choices":[{"index":` + index + `,"delta":{},"finish_reason":` + finish + `}]}` + "\n\n"
	}
	const done = "data: [DONE]\n\n"
	for name, c := range map[string]struct {
		kind, body string
		want       bool
	}{
		"answer":                {object, whole, true},
		"length":                {object, `{"choices":[{"finish_reason":"length"}]}`, true},
		"call of a tool":        {object, `{"choices":[{"finish_reason":"tool_calls"}],"error":null}`, true},
		"filtered":              {object, `{"choices":[{"finish_reason":"content_filter"}]}`, false},
		"one of two":            {object, `{"choices":[{"finish_reason":"stop"},{"finish_reason":null}]}`, false},
		"no choice":             {object, `{"choices":[]}`, false},
		"embeddings":            {object, `{"data":[{"embedding":[1]}]}`, true},
		"rerank":                {object, `{"results":[]}`, true},
		"failed":                {object, `{"error":{"message":"no"},"choices":[{"finish_reason":"stop"}]}`, false},
		"cut":                   {object, whole[:20], false},
		"page":                  {"text/html", "<html>", false},
		"stream":                {sse, ": hello\n\n" + chunk("0", "null") + chunk("0", `"stop"`) + `data: {"choices":[],"usage":{}}` + "\n\n" + done, true},
		"stream of two":         {sse, chunk("0", `"stop"`) + chunk("1", `"length"`) + done, true},
		"stream, one unended":   {sse, chunk("0", `"stop"`) + chunk("1", "null") + done, false},
		"stream without end":    {sse, chunk("0", `"stop"`), false},
		"stream without reason": {sse, chunk("0", "null") + done, false},
		"stream with an error":  {sse, chunk("0", `"stop"`) + `data: {"error":{"message":"x"}}` + "\n\n" + done, false},
		"stream that goes on":   {sse, chunk("0", `"stop"`) + done + chunk("0", `"stop"`), false},
		"event of another kind": {sse, "event: error\ndata: {}\n\n" + chunk("0", `"stop"`) + done, false},
		"stream of nothing":     {sse, done, false},
		"stream, garbled":       {sse, "data: {\n\n" + chunk("0", `"stop"`) + done, false},
	} {
		if got := Whole(c.kind, []byte(c.body)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzWhole(f *testing.F) {
	f.Add("application/json", whole)
	f.Add("text/event-stream", "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	f.Fuzz(func(t *testing.T, kind, body string) {
		if Whole("text/event-stream"+kind, []byte(body)) && !strings.Contains(body, "[DONE]") {
			t.Errorf("%q has no end", body)
		}
		if Whole("application/json", []byte(body)) && !json.Valid([]byte(body)) {
			t.Errorf("%q is no JSON", body)
		}
	})
}
