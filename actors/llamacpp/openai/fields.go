package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// unsupported has the fields that would change the answer, so leaving them aside in silence would be
// a lie. What only informs (user, metadata, store) is ignored.
type unsupported struct {
	BestOf     *int            `json:"best_of"`
	Functions  json.RawMessage `json:"functions"`
	Echo       *bool           `json:"echo"`
	Suffix     *string         `json:"suffix"`
	Audio      json.RawMessage `json:"audio"`
	Modalities []string        `json:"modalities"`
}

func (u *unsupported) check() error {
	if u.BestOf != nil && *u.BestOf != 1 {
		return refuse("best_of", "best_of is %d; the embedded engine chooses among no answers", *u.BestOf)
	}
	if u.Echo != nil && *u.Echo {
		return refuse("echo", "the embedded engine does not repeat the prompt")
	}
	if u.Suffix != nil && *u.Suffix != "" {
		return refuse("suffix", "the embedded engine does not insert before a suffix")
	}
	for _, m := range u.Modalities {
		if m != "text" {
			return refuse("modalities", "the embedded engine answers with text only")
		}
	}
	for _, f := range []struct {
		name    string
		raw     json.RawMessage
		without []string // values that ask for nothing
	}{
		{"functions", u.Functions, []string{"[]"}},
		{"audio", u.Audio, nil},
	} {
		if !isNull(f.raw) && !asksNothing(f.raw, f.without) {
			return refuse(f.name, "the embedded engine does not support %s", f.name)
		}
	}
	return nil
}

func asksNothing(raw json.RawMessage, without []string) bool {
	text := strings.Join(strings.Fields(string(raw)), "")
	for _, w := range without {
		if text == w {
			return true
		}
	}
	return false
}

func refuse(param, format string, args ...any) error {
	return &spec.Error{Code: spec.CodeUnsupported, Param: param, Message: fmt.Sprintf(format, args...)}
}

func parseStop(raw json.RawMessage) ([]string, error) {
	if isNull(raw) {
		return nil, nil
	}
	var one string
	list := []string{}
	if json.Unmarshal(raw, &one) == nil {
		list = append(list, one)
	} else if json.Unmarshal(raw, &list) != nil {
		return nil, invalid("stop", "stop must be a string or a list of strings")
	}
	if len(list) > MaxStops {
		return nil, invalid("stop", "stop has %d strings; at most %d", len(list), MaxStops)
	}
	for _, s := range list {
		if s == "" || len(s) > MaxStopBytes {
			return nil, invalid("stop", "a stop string must have 1 to %d bytes", MaxStopBytes)
		}
	}
	return list, nil
}

type messageBody struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Calls   json.RawMessage `json:"tool_calls"`
	CallID  *string         `json:"tool_call_id"`
}

func parseMessages(raw json.RawMessage) ([]Message, error) {
	var bodies []messageBody
	if isNull(raw) {
		return nil, invalid("messages", "messages is missing")
	}
	if err := json.Unmarshal(raw, &bodies); err != nil {
		return nil, invalid("messages", "messages must be a list of objects with role and content")
	}
	if len(bodies) == 0 || len(bodies) > MaxMessages {
		return nil, invalid("messages", "messages has %d entries; 1 to %d are allowed", len(bodies), MaxMessages)
	}
	messages := make([]Message, len(bodies))
	for i, b := range bodies {
		at := fmt.Sprintf("messages[%d]", i)
		text, err := parseContent(b.Content, at+".content")
		if err != nil {
			return nil, err
		}
		switch b.Role {
		case "developer": // OpenAI's newer name; templates know the older
			b.Role = "system"
		case "system", "user", "assistant", "tool":
		default:
			return nil, invalid(at+".role", "the role is %q; it must be system, developer, user, assistant or tool", b.Role)
		}
		messages[i] = Message{Role: b.Role, Content: text}
		if b.Role == "assistant" {
			if messages[i].Calls, err = parseCalls(b.Calls, fmt.Sprintf("messages[%d].tool_calls", i)); err != nil {
				return nil, err
			}
		} else if b.CallID != nil && b.Role == "tool" {
			if messages[i].CallID, err = *b.CallID, noNUL(at+".tool_call_id", *b.CallID); err != nil {
				return nil, err
			}
		}
	}
	return messages, nil
}

// parseContent takes a string, null (an assistant's turn without text), or parts of type text.
func parseContent(raw json.RawMessage, at string) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, noNUL(at, text)
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return "", invalid(at, "%s must be a string or a list of parts", at)
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", refuse(at, "a part of type %q: the embedded engine reads text only", p.Type)
		}
		text += p.Text
	}
	return text, noNUL(at, text)
}

func parsePrompt(raw json.RawMessage) (string, []int32, error) {
	if isNull(raw) {
		return "", nil, invalid("prompt", "prompt is missing")
	}
	inputs, err := parseInputs(raw, "prompt")
	if err != nil {
		return "", nil, err
	}
	if len(inputs) != 1 {
		return "", nil, refuse("prompt", "prompt has %d entries; the embedded engine takes one per request", len(inputs))
	}
	return inputs[0].Text, inputs[0].Tokens, nil
}
