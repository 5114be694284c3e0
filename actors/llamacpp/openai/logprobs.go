package openai

import (
	"strings"
	"unicode/utf8"
)

// A Logprob is a chosen token's log probability, and those of the likeliest ones at its place.
type Logprob struct {
	Scored
	Top []Scored
}

// Scored is a token's bytes and its log probability.
type Scored struct {
	Token   []byte
	Logprob float64
}

// leastLogprob stands for the probability 0, whose logarithm JSON cannot write.
const leastLogprob = -9999

type chatLogprob struct {
	chatScored
	Top []chatScored `json:"top_logprobs"`
}

type chatScored struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

type textLogprobs struct {
	Tokens  []string             `json:"tokens"`
	Scores  []float64            `json:"token_logprobs"`
	Top     []map[string]float64 `json:"top_logprobs"`
	Offsets []int                `json:"text_offset"`
}

func (a *Answer) logprobs(c Choice) any {
	if a.Kind == Chat {
		content := make([]chatLogprob, len(c.Logprobs))
		for i, l := range c.Logprobs {
			content[i] = chatLogprob{l.chat(), make([]chatScored, len(l.Top))}
			for j, t := range l.Top {
				content[i].Top[j] = t.chat()
			}
		}
		return map[string]any{"content": content, "refusal": nil}
	}
	if a.offsets == nil {
		a.offsets = map[int]int{}
	}
	out := textLogprobs{Tokens: []string{}, Scores: []float64{}, Top: []map[string]float64{}, Offsets: []int{}}
	for _, l := range c.Logprobs {
		text := readable(l.Token)
		out.Tokens, out.Scores = append(out.Tokens, text), append(out.Scores, l.finite())
		out.Offsets = append(out.Offsets, a.offsets[c.Index])
		a.offsets[c.Index] += utf8.RuneCountInString(text)
		var top map[string]float64
		if len(l.Top) > 0 {
			top = map[string]float64{text: l.finite()}
			for _, t := range l.Top {
				top[readable(t.Token)] = t.finite()
			}
		}
		out.Top = append(out.Top, top)
	}
	return out
}

func (s Scored) chat() chatScored {
	numbers := make([]int, len(s.Token))
	for i, b := range s.Token {
		numbers[i] = int(b)
	}
	return chatScored{readable(s.Token), s.finite(), numbers}
}

func (s Scored) finite() float64 {
	if s.Logprob > leastLogprob {
		return s.Logprob
	}
	return leastLogprob // NaN too
}

func readable(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }
