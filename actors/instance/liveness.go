package instance

import (
	"fmt"
	"time"
)

// A hungError says that an engine makes no tokens though it lives.
type hungError struct {
	still   time.Duration
	waiting int
	canary  bool
}

func (e *hungError) Error() string {
	who := fmt.Sprintf("%d requests wait", e.waiting)
	if e.canary {
		who = "it was idle"
	}
	return fmt.Sprintf("hung: no token for %s while %s", e.still.Round(100*time.Millisecond), who)
}

const (
	// unknownBytes a second are what an engine is taken to read of which nothing is
	// known: 100 tokens or so.
	unknownBytes = 300
	// unknownAnswer tokens are what an answer is taken to have of which nothing is said.
	unknownAnswer = 2048
	unknownToken  = time.Second
	// oneStep bytes are about the most that an engine reads in one go: what tells its
	// steps shows a sign of life after each.
	oneStep = 8 << 10
	// maxExplained bounds what is put down to the engine's pace.
	maxExplained = 10 * time.Minute
)

// patience is how long nothing may move while q waits among all, given how the
// engine has worked of late. Counted says that the engine counts its steps, and that
// one of them would count as a move.
func (p Policy) patience(q asked, all []asked, pace pace, counted bool) time.Duration {
	// On a CPU, so many answers at a time take so many times as long.
	token := time.Duration(len(all)) * pace.token
	explained := max(2*max(pace.gap, token).Seconds(), 1.5*reading(all, pace, counted))
	if q.whole && !counted {
		explained += 2 * writing(all, pace)
	}
	base := p.Hang
	if q.canary {
		base = p.CanaryLimit
	}
	return base + time.Duration(min(explained, maxExplained.Seconds())*float64(time.Second))
}

// reading is how many seconds of all that is asked may go by unseen, while prompts
// are read.
func reading(all []asked, pace pace, counted bool) float64 {
	speed := pace.bytes
	if speed <= 0 {
		speed = unknownBytes
	}
	unread, youngest := 0, time.Duration(0)
	for _, a := range all {
		if a.size == 0 {
			continue
		}
		if unread += a.size; youngest == 0 || a.age < youngest {
			youngest = a.age
		}
	}
	seconds := float64(unread) / speed
	if counted {
		if youngest.Seconds() > 2*seconds {
			return 0 // they were read long ago; their answers come whole
		}
		seconds = min(seconds, oneStep/speed)
	}
	return seconds
}

// writing is how many seconds answers may take that come in one piece. Whether the
// engine writes them side by side is not known.
func writing(all []asked, pace pace) float64 {
	token, tokens := pace.token, 0
	if token == 0 {
		token = unknownToken
	}
	for _, a := range all {
		switch {
		case a.whole && a.answer > 0:
			tokens += a.answer
		case a.whole:
			tokens += unknownAnswer
		}
	}
	return float64(tokens) * token.Seconds()
}

// hung judges that nothing has moved for still; nil: that is no wonder.
func (p Policy) hung(still time.Duration, all []asked, pace pace, counted bool) error {
	waiting := 0
	for _, q := range all {
		if q.asks && !q.canary {
			waiting++
		}
	}
	for _, q := range all {
		if q.asks && min(still, q.age) > p.patience(q, all, pace, counted) {
			return &hungError{still: min(still, q.age), waiting: waiting, canary: waiting == 0}
		}
	}
	return nil
}

// A stillness is how long nothing has moved while somebody waited. Time counts by
// short steps only: while this process itself stood still, nobody was looking.
type stillness struct {
	last   time.Time
	pieces uint64
	steps  uint64
	still  time.Duration
}

// tick takes in the pulse as it is now; most is what one tick may count for.
func (s *stillness) tick(now time.Time, pieces uint64, waiting bool, most time.Duration) {
	passed := min(now.Sub(s.last), most)
	if pieces != s.pieces || !waiting || s.last.IsZero() {
		passed, s.still = 0, 0
	}
	s.last, s.pieces = now, pieces
	s.still += passed
}

// step takes in what the engine says of its steps, having said so before for so long
// ago. Steps that it may have made before it stood still are no move since.
func (s *stillness) step(steps uint64, ago, grain time.Duration) {
	if steps != s.steps && ago <= s.still+grain {
		s.still = 0
	}
	s.steps = steps
}
