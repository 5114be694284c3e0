package tools

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A Part is a piece of a prompt. In a Mark, control tokens are to be recognised; in what a client wrote they are text.
type Part struct {
	Text string
	Mark bool
}

// A Turn is a message as the model's template is given it.
type Turn struct {
	Role  string
	Parts []Part
	// Messages is how many of the request's it stands for: several results can be one, and none are the tools' own.
	Messages int
	outside  bool // the template's words around a user's turn are left away
}

func (t *Turn) mark(s string) { t.add(Part{s, true}) }
func (t *Turn) text(s string) { t.add(Part{s, false}) }

func (t *Turn) add(p Part) {
	if p.Text != "" {
		t.Parts = append(t.Parts, p)
	}
}

// Turns are the messages with the tools told and with calls and results in the family's form.
func (f *Family) Turns(messages []openai.Message, tools []openai.Tool) []Turn {
	var turns []Turn
	for i := 0; i < len(messages); i++ {
		m := messages[i]
		if m.Role == "tool" {
			n := i + 1
			for n < len(messages) && messages[n].Role == "tool" {
				n++
			}
			t := f.results(messages[i:n])
			t.Messages = n - i
			turns, i = append(turns, t), n-1
			continue
		}
		t := Turn{Role: m.Role, Messages: 1}
		t.text(m.Content)
		if len(m.Calls) > 0 {
			f.calls(&t, m.Calls)
		}
		turns = append(turns, t)
	}
	if len(tools) > 0 && f.show != nil {
		turns = f.told(turns, tools)
	}
	return turns
}

// told puts the tools at the end of the system message, or makes one.
func (f *Family) told(turns []Turn, tools []openai.Tool) []Turn {
	if turns[0].Role != "system" {
		turns = append([]Turn{{Role: "system"}}, turns...)
	}
	between := ""
	if len(turns[0].Parts) > 0 {
		between = "\n\n"
	}
	turns[0].text(between + f.show(tools))
	return turns
}

// calls writes them as the model would.
func (f *Family) calls(t *Turn, calls []openai.Call) {
	if len(t.Parts) > 0 && !f.AtStart {
		t.mark("\n")
	}
	t.mark(f.Form.Open)
	for i, c := range calls {
		if i > 0 {
			t.mark(f.Form.Between)
		}
		t.mark(f.Form.Before + `{"name": "` + c.Name + `", "` + f.Form.Key + `": `)
		arguments := c.Arguments
		if !json.Valid([]byte(arguments)) {
			arguments = asJSON(arguments)
		}
		t.text(arguments)
		if f.Name == mistral.Name && c.ID != "" {
			t.mark(`, "id": `)
			t.text(asJSON(c.ID))
		}
		t.mark("}" + f.Form.After)
	}
	t.mark(f.Form.Close)
}

// list is the tools' JSON, spaced as Python does it, which models have seen most.
func list(tools []openai.Tool, between string) string {
	var b strings.Builder
	for i, t := range tools {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(spaced(t.Raw))
	}
	return b.String()
}

func spaced(raw json.RawMessage) string {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return string(raw)
	}
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range compact.Bytes() {
		b.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func asJSON(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string can always be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}
