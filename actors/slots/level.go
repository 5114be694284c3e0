package slots

import (
	"math"
	"time"
)

// evidence is what some requests have shown of one number of them.
type evidence struct {
	n     float64 // requests: of those under way, the part of one's time that they were watched for
	held  float64 // seconds, of all of them together
	share float64 // of held, what each had of the engine: one over those that were there, over time
	work  float64 // tokens
	alike float64 // requests whose mean it is
}

// beside is how many requests it is of: the harmonic mean over time.
func (e *evidence) beside() float64 { return e.held / e.share }

const (
	keeps    = 400             // samples that a level remembers, in weight
	halfLife = 4 * time.Minute // of what a level remembers, or
	lives    = 10              // times as long as requests take
	short    = 1.0             // times as long: the memory of what is judged by, and
	long     = 10.0            // of what many different numbers have shown
	outlier  = 4.0             // times as long as others is as long as a request counts: its client may be slow
)

// A level is what is known of one number of requests at a time. Its zero value knows nothing.
type level struct {
	n      float64 // samples, in weight
	held   float64 // seconds
	work   float64
	share  float64 // of held, what each had of the engine: one over those that were there, over time
	square float64 // of what share was beside the mean for its work
	at     time.Time
}

// add takes in what is new. Of what is the mean of some requests each may have differed by more.
func (l *level) add(e *evidence, memory float64, now time.Time) {
	l.fade(math.Exp(-e.n/(keeps*memory)), memory, now)
	held, share := e.held, e.share
	if l.work > 0 && l.n >= 4 {
		usual := e.work * l.share / l.work
		if e.alike == 1 && share > outlier*usual {
			held, share = held*outlier*usual/share, outlier*usual
		}
		l.square += (share - usual) * (share - usual) * e.alike / e.n
	}
	l.n += e.n
	l.held += held
	l.work += e.work
	l.share += share
}

// join adds what another knows.
func (l *level) join(o *level, memory float64, now time.Time) {
	by := o.left(memory, now)
	l.n += by * o.n
	l.held += by * o.held
	l.work += by * o.work
	l.share += by * o.share
	l.square += by * by * o.square
	l.at = now
}

// fade has all count for less, by so much and by the time that has passed.
func (l *level) fade(by, memory float64, now time.Time) {
	by *= l.left(memory, now)
	l.at = now
	l.n *= by
	l.held *= by
	l.work *= by
	l.share *= by
	l.square *= by * by // its root is compared with held
}

// left is the part that has not been forgotten.
func (l *level) left(memory float64, now time.Time) float64 {
	if l.n == 0 {
		return 1
	}
	half := memory * max(halfLife.Seconds(), lives*l.held/l.n)
	return math.Exp2(-max(now.Sub(l.at), 0).Seconds() / half)
}

// known tells whether enough is.
func (l *level) known(now time.Time) bool {
	const enough = 4
	return l.n*l.left(short, now) >= enough && l.held > 0
}

// pace is the seconds that a request holds its place for a token.
func (l *level) pace() float64 { return l.held / l.work }

// throughput is the tokens per second of all requests together.
func (l *level) throughput() float64 { return l.work / l.share }

// surely is what it is at least, but for one chance in six.
func (l *level) surely() float64 { return l.throughput() * (1 - l.unsure()) }

// unsure is the standard error of throughput, as a part of it.
func (l *level) unsure() float64 {
	const least = 0.005
	return max(math.Sqrt(l.square)/l.share, least)
}

// brief tells whether requests hold their places for so short a time that it does not matter
// where they wait.
func (l *level) brief() bool { return l.held < l.n*worth.Seconds() }

// doubt is unsure, of as few requests as may have been alike by chance.
func (l *level) doubt() float64 {
	const one = 0.5 // standard deviation of what a request costs, as a part of it: more than most have
	return max(l.unsure(), one/math.Sqrt(l.n))
}

// ladder are the numbers of requests that are told apart, up to the ceiling: a step is a
// quarter, or one.
func ladder(ceiling int) []int {
	var all []int
	for n := 1; n < ceiling; n = max(n+1, n+n/4) {
		if 10*n > 9*ceiling { // too near to tell from it
			break
		}
		all = append(all, n)
	}
	return append(all, ceiling)
}
