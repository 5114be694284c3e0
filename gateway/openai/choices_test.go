package openai

import "testing"

func TestChoices(t *testing.T) {
	for answer, want := range map[string]bool{
		`{"id":"a","choices":[]}`: true, ` {"x":{"choices":1},"choices" : [{}]}`: true,
		`{"id":"a"}`: false, `{"x":{"choices":[]}}`: false, `{"choices":null}`: false, `{"text":"\"choices\":["}`: false, `{}`: false, ``: false, `{"choices"`: false,
	} {
		if HasChoices([]byte(answer)) != want {
			t.Error(answer)
		}
	}
	for event, want := range map[string]bool{
		"data: {\"choices\":[]}\n\n": true, "data:{\"usage\":{}}\n\n": true, "data: [DONE]\n\n": true, ": ping\n\n": true, "event: x\ndata: {}\n\n": true, "data:\n\n": true,
		"data: {\"id\":1}\n\n": false, "data: {}\n\n": false, "data: {\"a\":{\"choices\":[]}}\n\n": false,
	} {
		if IsPiece([]byte(event)) != want {
			t.Error(event)
		}
	}
}

func FuzzChoices(f *testing.F) {
	f.Add([]byte(`data: {"a":[{"choices":`))
	f.Fuzz(func(_ *testing.T, b []byte) { HasChoices(b); IsPiece(b) })
}
