package llamacpp

import (
	"context"
	"strings"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/llamacpp/openai"
	"github.com/lotabots/lotabots/actors/llamacpp/tools"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A job is one answer to a request on its way through the generator.
type job struct {
	ctx context.Context // ends when nobody wants the answer
	input
	salt    string
	adapter string // empty: none
	max     int    // tokens to generate at most; the context's rest is within
	chooser *chooser
	caller  *caller // nil: nothing can be called
	stops   []string
	index   int // among the answers of its request
	scores  bool
	top     int // with scores: how many alternatives
	out     *outbox
	given   int           // tokens of the prompt that the request gave; the rest of it are those of begun
	begun   []llama.Token // of the answer, from elsewhere
	forced  []llama.Token // of the answer as well, to be chosen here
	events  int           // of these, that the client has
	ids     bool          // events tell their tokens
}

// free gives the library's memory back, when the job is over or was never begun.
func (j *job) free() { j.chooser.free() }

func (j *job) put(e event) {
	e.index = j.index
	j.out.put(e)
}

// refuse ends a job that has no slot.
func (j *job) refuse(err error) {
	j.put(event{err: err})
	j.free()
}

// A sequence is a job in a slot. The generator's goroutine owns it.
type sequence struct {
	*job
	text    *openai.Text
	answer  strings.Builder // what was sent
	pending []pendingScore  // of tokens whose text is not sent yet
	bytes   int             // of the tokens chosen
	cached  int             // tokens of the prompt that the slot held already
	read    int             // tokens of the prompt that are in the cache
	chosen  int             // tokens generated
	next    llama.Token     // the last one chosen, not yet in the cache
	row     int32           // where in the batch the next token's logits are; -1: nowhere
	told    bool            // the prompt's marks are announced

	// where tools can be called
	parser  *tools.Parser
	content strings.Builder // what was sent as text
	calls   []openai.CallDelta

	skip  int     // events that the client has
	quiet []int32 // tokens that no event has told
}

// pendingScore is a token's score and where in the answer its text begins.
type pendingScore struct {
	openai.Logprob
	at int
}

func newSequence(j *job, cached int) *sequence {
	return &sequence{job: j, text: openai.NewText(j.stops), cached: cached, read: cached, row: -1, parser: j.caller.parser()}
}

func (s *sequence) reading() bool { return s.read < len(s.prompt) }

func (s *sequence) usage() openai.Usage {
	return openai.Usage{
		Prompt: s.given, Completion: s.chosen, Total: s.given + s.chosen,
		Details: openai.PromptDetails{Cached: min(s.cached, s.given)},
	}
}

// advance chooses the next token and reports whether it was the last.
func (s *sequence) advance(ctx llama.Context, m *model) (bool, error) {
	t, err := s.choose(ctx)
	if err == nil && (t < 0 || int32(t) >= m.tokens) {
		err = spec.Errorf(spec.CodeUpstream, "llama.cpp chose no token")
	}
	if err != nil {
		return true, err
	}
	if s.scores {
		if err := s.score(ctx, t, m); err != nil {
			return true, err
		}
	}
	return s.take(t, m), nil
}

// choose gives the next token, which may have been chosen elsewhere.
func (s *sequence) choose(ctx llama.Context) (llama.Token, error) {
	if len(s.forced) == 0 {
		s.skip = 0
		return s.chooser.choose(ctx, s.row)
	}
	t := s.forced[0]
	s.forced = s.forced[1:]
	return t, s.chooser.replay(t)
}

// shown is how many of an answer's tokens there are to the last after which no text is held back.
func (m *model) shown(tokens []llama.Token, stops []string) (n int) {
	text := openai.NewText(stops)
	for i, t := range tokens {
		if m.spelling(t).end {
			break
		}
		if _, stopped := text.Push(m.piece(t)); stopped {
			break
		}
		if !text.Holding() {
			n = i + 1
		}
	}
	return n
}

// replay takes what was chosen elsewhere, and reports whether that was the whole answer.
func (s *sequence) replay(m *model) (bool, error) {
	s.skip = s.events
	for _, t := range s.begun {
		if err := s.chooser.replay(t); err != nil {
			return true, err
		}
		if s.take(t, m) {
			return true, nil
		}
	}
	return false, nil
}

// score keeps the model's score of a token until its text is sent.
func (s *sequence) score(ctx llama.Context, t llama.Token, m *model) error {
	if m.spelling(t).end {
		return nil
	}
	logits, err := llama.GetLogitsIth(ctx, s.row, int(m.tokens))
	if err != nil || logits == nil {
		return spec.Errorf(spec.CodeUpstream, "llama.cpp gave no logits")
	}
	s.pending = append(s.pending, pendingScore{scored(logits, t, s.top, m.piece), s.bytes})
	return nil
}

// take adds a token to the answer and reports whether it was the last.
func (s *sequence) take(t llama.Token, m *model) bool {
	s.chosen++
	s.next = t
	if s.ids {
		s.quiet = append(s.quiet, int32(t))
	}
	if m.spelling(t).end {
		s.end("stop")
		return true
	}
	piece := s.caller.spell(m, t)
	if s.chooser.calling() || s.parser != nil && s.parser.Calling() {
		s.text.Unstop()
	}
	s.bytes += len(piece)
	text, stopped := s.text.Push(piece)
	s.send(text)
	switch {
	case stopped:
		s.end("stop")
	case s.chosen >= s.max:
		s.end("length")
	default:
		return false
	}
	return true
}

// put sends an event, unless the client has it.
func (s *sequence) put(e event) {
	e.ids, s.quiet = s.quiet, nil
	if s.skip > 0 && e.err == nil {
		s.skip--
		return
	}
	s.job.put(e)
}

// send gives a piece of text out, with the scores of the tokens that begin in it. Those of a stop string
// are never sent.
func (s *sequence) send(text string) {
	if text == "" {
		return
	}
	s.answer.WriteString(text)
	if s.parser != nil {
		s.tell(s.parser.Push(text))
		return
	}
	s.put(event{text: text, scores: s.scored(s.answer.Len())})
}

// scored are the scores of the tokens that begin before a byte of the answer.
func (s *sequence) scored(before int) (out []openai.Logprob) {
	for len(s.pending) > 0 && s.pending[0].at < before {
		out = append(out, s.pending[0].Logprob)
		s.pending = s.pending[1:]
	}
	return out
}

// tell sends what the parser has made of the text. Tokens of calls have no scores.
func (s *sequence) tell(deltas []tools.Delta) {
	for _, d := range deltas {
		if d.Call == nil {
			s.content.WriteString(d.Text)
			e := event{text: d.Text}
			if len(s.calls) == 0 {
				e.scores = s.scored(s.content.Len())
			}
			s.put(e)
			continue
		}
		s.calls = openai.AddCall(s.calls, *d.Call)
		s.put(event{calls: []openai.CallDelta{*d.Call}})
		s.pending, s.scores = nil, false
	}
}

// said is the answer as a message of the next request will have it.
func (s *sequence) said() (content string, calls []openai.Call) {
	if s.parser == nil {
		return s.answer.String(), nil
	}
	for _, c := range s.calls {
		calls = append(calls, c.Call)
	}
	return s.content.String(), calls
}

func (s *sequence) end(reason string) {
	s.send(s.text.Flush())
	if s.parser != nil {
		s.tell(s.parser.Flush())
		if reason == "stop" && len(s.calls) > 0 {
			reason = "tool_calls"
		}
	}
	s.put(event{finish: reason, stop: s.text.Stop(), usage: s.usage()})
}
