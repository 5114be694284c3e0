package prefix

const (
	kept  = 32 // names of one prompt
	front = 8  // of them, the first; the others are the last
)

// A Prompt is the named beginnings of one prompt, shortest first. Its zero value has none. Of a long
// conversation the middle is left out: it shares its first turns with others, and its last ones with
// itself.
type Prompt struct {
	names  [kept]uint64
	tokens [kept]int32 // estimates of what each beginning has
	n      int

	opening  uint64 // to the end of the first user message; 0: there is none
	openings int    // its tokens
	earlier  int    // tokens of earlier turns, their answers included; 0: this is the first
}

// Reset empties p.
func (p *Prompt) Reset() { p.n, p.opening, p.openings, p.earlier = 0, 0, 0, 0 }

// Add adds a beginning that has about so many tokens.
func (p *Prompt) Add(name uint64, tokens int) {
	if p.n == kept {
		copy(p.names[front:], p.names[front+1:])
		copy(p.tokens[front:], p.tokens[front+1:])
		p.n--
	}
	p.names[p.n], p.tokens[p.n] = name, int32(min(tokens, 1<<30))
	p.n++
}

// Opened says that the beginning that was last added ends the first user message, or stands for it.
// Only the first call counts.
func (p *Prompt) Opened() {
	if p.n > 0 && p.opening == 0 {
		p.opening, p.openings = p.names[p.n-1], int(p.tokens[p.n-1])
	}
}

// Answered says that earlier turns end where the beginning that was last added does.
func (p *Prompt) Answered() {
	if p.n > 0 {
		p.earlier = int(p.tokens[p.n-1])
	}
}

// Len is how many names p has.
func (p *Prompt) Len() int { return p.n }

// Opening is the name to the end of the first user message; 0: there is none. Requests of one
// conversation have one opening.
func (p *Prompt) Opening() uint64 { return p.opening }

// Names are p's, shortest first; to be read until p changes.
func (p *Prompt) Names() []uint64 { return p.names[:p.n] }
