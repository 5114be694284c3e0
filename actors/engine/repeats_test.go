package engine

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBegun(t *testing.T) {
	for body, want := range map[string]string{
		`{"continue_final_message":true,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a \"b"}]}`: `a "b`,
		`{"continue_final_message":false,"messages":[{"role":"assistant","content":"a"}]}`:                                  "",
		`{"messages":[{"role":"assistant","content":"a"}]}`:                                                                 "",
		`{"continue_final_message":true,"messages":[{"role":"user","content":"a"}]}`:                                        "",
		`{"continue_final_message":true,"messages":[{"role":"assistant","content":[]}]}`:                                    "",
		`{"continue_final_message":true}`:                                                                                   "", `continue_final_message`: "",
	} {
		if got := begun([]byte(body)); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

// TestUnrepeated: an answer that goes on with another tells what is new, however the program
// cuts what it repeats.
func TestUnrepeated(t *testing.T) {
	event := func(choices string) string { return `data: {"choices":[` + choices + "]}\n\n" }
	says := func(texts ...string) (out string) {
		for _, text := range texts {
			out += event(`{"index":0,"delta":{"content":"` + text + `"}}`)
		}
		return out
	}
	const first, last = `{"index":0,"delta":{"role":"assistant","content":null}}`, `{"index":0,"delta":{},"finish_reason":"stop"}`
	for _, c := range []struct{ name, was, in, want string }{
		{"in one", "ab", event(first) + ": x\n\n" + says("abc", "ab", "d") + event(last) + "data: [DONE]\n\n", event(first) + ": x\n\n" + says("c", "ab", "d") + event(last) + "data: [DONE]\n\n"},
		{"in pieces", "abc", says("a", "b", "cd", "e"), says("", "", "d", "e")},
		{"to the letter", "ab", says("ab", "ab"), says("", "ab")},
		{"nothing", "ab", says("ac", "ab"), says("ac", "ab")},
		{"begins alike", "abc", says("a", "bd", "abc"), says("", "abd", "abc")},
		{"fails", "ab", "data: {\"error\":{\"message\":\"ab\"}}\n\n", "data: {\"error\":{\"message\":\"ab\"}}\n\n"},
		{"is cut", "ab", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab"},
	} {
		resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(iotest.OneByteReader(strings.NewReader(c.in)))}
		if err := unrepeated(resp, c.was); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if plain := strings.NewReplacer(`"delta":{"content":null,"role":"assistant"},"index":0`, `"index":0,"delta":{"role":"assistant","content":null}`,
			`{"delta":{},"finish_reason":"stop","index":0}`, last, `},"index":0}`, `}}`, `{"delta"`, `{"index":0,"delta"`).Replace(string(got)); err != nil || plain != c.want {
			t.Errorf("%s: %v\n%s\n%s", c.name, err, plain, c.want)
		}
	}
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Length": {"9"}}, Body: io.NopCloser(strings.NewReader(`{"choices":[{"message":{"content":"ab c"}},{"index":1,"message":{"content":"x"}}]}`))}
	if err := unrepeated(resp, "ab "); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(resp.Body); string(got) != `{"choices":[{"message":{"content":"c"}},{"index":1,"message":{"content":"x"}}]}` || resp.ContentLength != int64(len(got)) {
		t.Errorf("%s", got)
	}
}
