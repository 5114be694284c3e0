package llamacpp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// pieces are the events of a streamed answer, but for the role's: each as text, and its tokens.
type pieces struct {
	texts  []string
	tokens [][]int32
	scores []float64
	usage  openai.Usage
	err    string
}

func followed(t *testing.T, url, path string, body fields) (p pieces) {
	t.Helper()
	body["stream"], body["stream_options"], body["return_token_ids"] = true, fields{"include_usage": true}, true
	resp, err := post(t.Context(), url, path, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			data = lines.Text()
		}
		if data == "[DONE]" || data == "" {
			continue
		}
		var e struct {
			Choices []struct {
				Delta struct {
					Role, Content string
					Calls         []toolCall `json:"tool_calls"`
				}
				Text   string
				Scores *struct {
					Content []struct{ Logprob float64 }
				} `json:"logprobs"`
				Finish string  `json:"finish_reason"`
				IDs    []int32 `json:"token_ids"`
			}
			Usage *openai.Usage
			Error *struct{ Param string }
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if e.Error != nil {
			p.err = e.Error.Param
		}
		if e.Usage != nil {
			p.usage = *e.Usage
		}
		for _, c := range e.Choices {
			if c.Delta.Role != "" {
				continue
			}
			for i := range c.Delta.Calls {
				c.Delta.Calls[i].ID = ""
			}
			text := fmt.Sprint(c.Delta.Content, c.Text, c.Delta.Calls, c.Finish)
			if c.Scores != nil {
				text += fmt.Sprintf(" with %d scores", len(c.Scores.Content))
				for _, l := range c.Scores.Content {
					p.scores = append(p.scores, l.Logprob)
				}
			}
			p.texts = append(p.texts, text)
			p.tokens = append(p.tokens, c.IDs)
		}
	}
	return p
}

// An answer that broke off anywhere goes on with the next event, as if it had not: with a grammar, with stop strings,
// in the middle of a call.
func TestAnswersGoOnBehindTheirTokens(t *testing.T) {
	_, web := open(t, Config{})
	for name, c := range map[string]struct {
		path string
		body fields
	}{
		"text":       {"/v1/chat/completions", question("Say the alphabet.", nil)},
		"stop":       {"/v1/chat/completions", question("Say the alphabet.", fields{"stop": []string{"D E F", "G\nH"}})},
		"short":      {"/v1/chat/completions", question("Say the alphabet.", fields{"max_tokens": 9})},
		"completion": {"/v1/completions", fields{"prompt": "one two three", "temperature": 0, "max_tokens": 12}},
		"penalties":  {"/v1/chat/completions", question("Count from 1 to 20.", fields{"presence_penalty": 0.5, "max_tokens": 20})},
		"scores":     {"/v1/chat/completions", question("Say the alphabet.", fields{"logprobs": true})},
		"held":       {"/v1/chat/completions", question("Say the alphabet.", fields{"logprobs": true, "stop": []string{"C D E F G Z", "J K L M Z"}})},
		"json":       {"/v1/chat/completions", question("x", fields{"response_format": fields{"type": "json_object"}, "max_tokens": 20})},
		"call":       {"/v1/chat/completions", question("What is the weather?", fields{"tools": []fields{weather}, "tool_choice": "required", "parallel_tool_calls": false})},
	} {
		whole := followed(t, web.URL, c.path, c.body)
		if len(whole.texts) < 5 || whole.err != "" {
			t.Fatalf("%s: %+v", name, whole)
		}
		for cut := 0; cut < len(whole.texts); cut += 1 + len(whole.texts)/9 {
			tokens := []int32{}
			for _, ids := range whole.tokens[:cut] {
				tokens = append(tokens, ids...)
			}
			c.body["continuation"] = fields{"token_ids": tokens, "events": cut}
			rest := followed(t, web.URL, c.path, c.body)
			whole.usage.Details, rest.usage.Details = openai.PromptDetails{}, openai.PromptDetails{}
			for i, score := range rest.scores { // read at once or one by one, they differ by a little
				if was := whole.scores[len(whole.scores)-len(rest.scores)+i]; math.Abs(was-score) > .05 {
					t.Errorf("%s, cut after %d events: a score of %g, not %g", name, cut, score, was)
				}
			}
			if !reflect.DeepEqual(rest.texts, whole.texts[cut:]) || !reflect.DeepEqual(rest.tokens, whole.tokens[cut:]) || rest.usage != whole.usage {
				t.Errorf("%s, cut after %d of %d events:\n got %q %v %+v\nwant %q %v %+v", name, cut, len(whole.texts), rest.texts, rest.tokens, rest.usage, whole.texts[cut:], whole.tokens[cut:], whole.usage)
			}
		}
		delete(c.body, "continuation")
	}
}

func TestContinuationsThatAreRefused(t *testing.T) {
	_, web := open(t, Config{})
	for name, c := range map[string]struct {
		more  fields
		param string
	}{
		"foreign tokens":     {fields{"continuation": fields{"token_ids": []int32{1 << 30}}}, "continuation.token_ids"},
		"against a grammar":  {fields{"continuation": fields{"token_ids": []int32{65, 65}}, "response_format": fields{"type": "json_object"}}, "continuation.token_ids"},
		"several answers":    {fields{"continuation": fields{"token_ids": []int32{1}}, "n": 2}, "continuation"},
		"logprobs and tools": {fields{"continuation": fields{"token_ids": []int32{1}}, "logprobs": true, "tools": []fields{weather}}, "continuation"},
		"fewer than nothing": {fields{"continuation": fields{"token_ids": []int32{1}, "events": -1}}, "continuation.events"},
	} {
		if got := followed(t, web.URL, "/v1/chat/completions", question("x", c.more)); got.err != c.param {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
