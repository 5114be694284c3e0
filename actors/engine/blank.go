package engine

// tellingNames are the names of numbers by which engines tell what they have found in their caches, or what that saved them.
// prompt_tokens is none: it counts the whole prompt.
var tellingNames = map[string]bool{
	"cached_tokens":               true, // OpenAI's, in prompt_tokens_details and input_tokens_details
	"cache_read_input_tokens":     true, // Anthropic's, here and in the next three
	"cache_creation_input_tokens": true,
	"ephemeral_5m_input_tokens":   true,
	"ephemeral_1h_input_tokens":   true,
	"prompt_cache_hit_tokens":     true, // DeepSeek's, and of programs that follow it
	"prompt_cache_miss_tokens":    true,
	"cache_n":                     true, // llama-server's timings, here and in the next four
	"prompt_n":                    true,
	"prompt_ms":                   true,
	"prompt_per_token_ms":         true,
	"prompt_per_second":           true,
	"tokens_cached":               true, // llama-server's, of verbose answers, here and in the next three
	"tokens_evaluated":            true,
	"n_prompt_tokens_cache":       true,
	"n_prompt_tokens_processed":   true,
	"prompt_eval_count":           true, // Ollama's own
	"prompt_eval_duration":        true,
}

const (
	progressName = "prompt_progress" // llama-server's, whose object tells by all of its numbers
	inputName    = "input_tokens"    // of Anthropic's Messages: what was not cached
	longestName  = 27
)

// A Blanking overwrites, in an answer that passes in pieces, the numbers that tell of its engine's cache: by 0 and by
// spaces, which JSON allows behind a number, so that nothing else moves. It follows JSON's strings, in which the names
// have no effect, and begins anew with each line, as no string goes on behind one. Its zero value is at an answer's
// beginning. Names that are written with escapes are not known.
type Blanking struct {
	Messages bool // the answer is of Anthropic's Messages

	place   blankPlace
	escaped bool // in a string: the next byte is no end of it
	all     bool // in the object of progressName
	n       int  // bytes of name; more than it has: it is another
	name    [longestName]byte
}

type blankPlace uint8

const (
	outside   blankPlace = iota
	inString             // of what may be a name
	behind               // a string
	before               // a number that is to be hidden
	beforeAll            // an object of such numbers
	inNumber             // whose first byte is overwritten
)

// Blank overwrites what there is in the answer's next piece.
func (b *Blanking) Blank(p []byte) {
	for i := range p {
		if b.place == inNumber {
			if isNumeric(p[i]) {
				p[i] = ' '
				continue
			}
			b.place = outside
		}
		b.step(&p[i])
	}
}

func (b *Blanking) step(c *byte) {
	switch b.place {
	case inString:
		b.within(*c)
	case behind:
		switch {
		case isBlank(*c):
		case *c == ':':
			b.place = b.named()
		default:
			b.without(*c)
		}
	case before, beforeAll:
		switch {
		case isBlank(*c):
		case b.place == before && (*c == '-' || isDigit(*c)):
			*c, b.place = '0', inNumber
		default:
			b.all = b.all || b.place == beforeAll && *c == '{'
			b.without(*c)
		}
	default:
		b.without(*c)
	}
}

// without takes in a byte that is of no string.
func (b *Blanking) without(c byte) {
	b.place = outside
	switch c {
	case '"':
		b.place, b.n, b.escaped = inString, 0, false
	case '}':
		b.all = false
	}
}

// within takes in a byte of a string, or its end.
func (b *Blanking) within(c byte) {
	switch {
	case c == '\n':
		b.place = outside
	case b.escaped:
		b.escaped = false
	case c == '\\':
		b.escaped, b.n = true, longestName+1
	case c == '"':
		b.place = behind
	case b.n < longestName:
		b.name[b.n] = c
		b.n++
	default:
		b.n = longestName + 1
	}
}

// named is where the value of the name begins that has been read.
func (b *Blanking) named() blankPlace {
	if b.n > longestName {
		if b.all {
			return before
		}
		return outside
	}
	name := b.name[:b.n]
	switch {
	case b.all, tellingNames[string(name)], b.Messages && string(name) == inputName:
		return before
	case string(name) == progressName:
		return beforeAll
	}
	return outside
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isNumeric(c byte) bool {
	return isDigit(c) || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
