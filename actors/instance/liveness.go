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

// A crowd is what an engine works on, summed up as the judgement needs it.
type crowd struct {
	all      int                  // requests
	others   int                  // of others than canaries
	asks     bool                 // somebody waits for a piece now: no slow reader holds them all up
	waiting  int                  // of others, for a piece now
	unread   int                  // bytes of prompts that have not been read
	youngest time.Duration        // age of one of these; 0: there is none
	tokens   int                  // of answers that come in one piece
	oldest   [kinds]time.Duration // age of those that wait for a piece; 0: there is none
}

// The kinds of requests that wait for a piece, whose oldest is the one to be judged by.
const (
	streamed = iota
	whole    // the answer comes in one piece
	canaryStreamed
	canaryWhole
	kinds
)

func (c *crowd) count(q *question, now time.Time) {
	age, kind := now.Sub(q.began), streamed
	c.all++
	if q.pieces.Load() < readAt && q.size > 0 {
		if c.unread += q.size; c.youngest == 0 || age < c.youngest {
			c.youngest = age
		}
	}
	if !q.stream {
		kind = whole
		if c.tokens += q.answer; q.answer == 0 {
			c.tokens += unknownAnswer
		}
	}
	asks := q.asks.Load()
	if q.canary {
		kind += canaryStreamed
	} else if c.others++; asks {
		c.waiting++
	}
	if asks {
		c.asks = true
		c.oldest[kind] = max(c.oldest[kind], age)
	}
}

// patience is how long nothing may move while one of this kind waits in c, given how the
// engine has worked of late. Counted says that the engine counts its steps, and that
// one of them would count as a move.
func (p Policy) patience(kind int, c crowd, pace pace, counted bool) time.Duration {
	// On a CPU, so many answers at a time take so many times as long.
	token := time.Duration(c.all) * pace.token
	explained := max(2*max(pace.gap, token).Seconds(), 1.5*reading(c, pace, counted))
	if (kind == whole || kind == canaryWhole) && !counted {
		explained += 2 * writing(c, pace)
	}
	base := p.Hang
	if kind >= canaryStreamed {
		base = p.CanaryLimit
	}
	return base + time.Duration(min(explained, maxExplained.Seconds())*float64(time.Second))
}

// reading is how many seconds of all that is asked may go by unseen, while prompts
// are read.
func reading(c crowd, pace pace, counted bool) float64 {
	speed := pace.bytes
	if speed <= 0 {
		speed = unknownBytes
	}
	seconds := float64(c.unread) / speed
	if counted {
		if c.youngest.Seconds() > 2*seconds {
			return 0 // they were read long ago; their answers come whole
		}
		seconds = min(seconds, oneStep/speed)
	}
	return seconds
}

// writing is how many seconds answers may take that come in one piece. Whether the
// engine writes them side by side is not known.
func writing(c crowd, pace pace) float64 {
	token := pace.token
	if token == 0 {
		token = unknownToken
	}
	return float64(c.tokens) * token.Seconds()
}

// hung judges that nothing has moved for still; nil: that is no wonder.
func (p Policy) hung(still time.Duration, c crowd, pace pace, counted bool) error {
	for kind, age := range c.oldest {
		if age > 0 && min(still, age) > p.patience(kind, c, pace, counted) {
			return &hungError{still: min(still, age), waiting: c.waiting, canary: c.waiting == 0}
		}
	}
	return nil
}

// A stillness is how long nothing has moved while somebody waited. Time counts by
// short steps only: while this process itself stood still, nobody was looking. And it
// counts less while the engine got no processor.
type stillness struct {
	last   time.Time
	pieces uint64
	steps  uint64
	still  time.Duration
}

// starvedShare is the part of the time that starving explains at most: threads that spin in
// vain starve as well, on a busy machine, and are found so many times later.
const starvedShare = 0.75

// tick takes in the pulse as it is now; most is what one tick may count for, and starved how
// long the engine's threads have waited for a processor since the last.
func (s *stillness) tick(now time.Time, pieces uint64, waiting bool, most, starved time.Duration) {
	passed := min(now.Sub(s.last), most)
	passed -= min(starved, time.Duration(starvedShare*float64(passed)))
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
