package tools

import (
	"fmt"
	"strings"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
)

// A Prompt is a rendered chat: its parts in their order.
type Prompt struct {
	Parts []Part
	// Ends is, for each of the request's messages, how many parts there are up to its end; 0: the template left it out,
	// or it is told together with the next.
	Ends []int
}

// Prompt has the turns rendered by a template, which sees a stand-in for each, and puts their parts in place.
func (f *Family) Prompt(turns []Turn, tools []openai.Tool, render func([]openai.Message) (string, error)) (Prompt, error) {
	messages, stand := make([]openai.Message, len(turns)), make([]string, len(turns))
	for i, t := range turns {
		stand[i] = fmt.Sprintf("\x01%d\x02", i)
		messages[i] = openai.Message{Role: t.Role, Content: stand[i]}
	}
	text, err := render(messages)
	if err != nil {
		return Prompt{}, err
	}
	for i, t := range turns {
		if t.outside {
			text = unwrapped(text, stand[i])
		}
	}
	if len(tools) > 0 && f.show == nil {
		if at := strings.LastIndex(text, "[INST]"); at >= 0 {
			text = text[:at] + "\x01tools\x02" + text[at:]
		}
	}
	return f.assemble(text, turns, stand, tools), nil
}

func (f *Family) assemble(text string, turns []Turn, stand []string, tools []openai.Tool) (p Prompt) {
	told := func(s string) {
		before, after, found := strings.Cut(s, "\x01tools\x02")
		if found {
			p.add(Part{before + "[AVAILABLE_TOOLS] [", true}, Part{list(tools, ", "), false}, Part{"][/AVAILABLE_TOOLS]", true})
			before = after
		}
		p.add(Part{before, true})
	}
	for i, t := range turns {
		for range t.Messages {
			p.Ends = append(p.Ends, 0)
		}
		before, after, found := strings.Cut(text, stand[i])
		if !found { // a template may leave a message out
			continue
		}
		told(before)
		p.add(t.Parts...)
		if t.Messages > 0 {
			p.Ends[len(p.Ends)-1] = len(p.Parts)
		}
		text = after
	}
	told(text)
	return p
}

func (p *Prompt) add(parts ...Part) {
	for _, part := range parts {
		if part.Text != "" {
			p.Parts = append(p.Parts, part)
		}
	}
}

// unwrapped takes Mistral's words around a user's turn away.
func unwrapped(text, stand string) string {
	before, after, found := strings.Cut(text, stand)
	if !found {
		return text
	}
	if cut, ok := strings.CutSuffix(strings.TrimSuffix(before, " "), "[INST]"); ok {
		before = cut
	}
	if cut, ok := strings.CutPrefix(strings.TrimPrefix(after, " "), "[/INST]"); ok {
		after = cut
	}
	return before + stand + after
}
