package slots

import "time"

// A Sample is one request that was answered whole.
type Sample struct {
	Passed         // since it had its place
	Prompt     int // tokens; 0: not known
	Completion int // tokens; 0: not known
	Pieces     int // in which its answer was seen to come; 0: in one
}

// work is what a request cost, in tokens written: prompts are read many at a time, and a
// request without any tokens is still one.
func (s *Sample) work() float64 {
	const promptsAtOnce = 16
	return 1 + float64(max(s.Completion, 0)) + float64(max(s.Prompt, 0))/promptsAtOnce
}

// A watch is what is seen of requests under way: tokens by the engine's own count, else pieces of streamed answers.
type watch struct {
	own    bool // they are counted by the engine
	told   bool // count and passed are known
	count  uint64
	passed Passed
	seen   evidence // that has not been learnt from
	step   int
	stay   float64 // seconds that a request holds its place, of late
	work   float64 // of requests whose tokens were counted as they came, of late
	tokens float64 // that were counted of them
}

// Requests by which stay is smoothed, and what a token that is counted stands for.
const (
	smoothStay = 32
	smoothWork = 128
)

// ended takes in a request, and tells whether it has been seen before it ended.
func (w *watch) ended(s *Sample) bool {
	by := 1.0 / smoothStay
	if w.stay == 0 {
		by = 1
	}
	w.stay += by * (s.Busy - w.stay)
	counted := s.Pieces
	if w.own {
		counted = s.Completion
	}
	if !w.told || counted <= 0 {
		return w.told && w.own
	}
	const kept = 1 - 1.0/smoothWork
	w.work, w.tokens = kept*w.work+s.work(), kept*w.tokens+float64(counted)
	return true
}

// look is what has been seen since it was last told.
func (w *watch) look(t *Told) (e evidence, places float64) {
	own, count := t.Tokens > 0, t.Tokens
	if !own {
		count = t.Pieces
	}
	passed, fresh := t.Passed.Since(w.passed), count-w.count
	if !w.told || own != w.own || count < w.count {
		passed = Passed{}
	}
	w.told, w.own, w.count, w.passed = count > 0, own, count, t.Passed
	held, tokens := passed.Streamed, float64(fresh)
	if own {
		held = passed.Held
		if all := t.Running + t.Queued; t.Known && all > t.Leases { // others use it too
			tokens *= float64(t.Leases) / float64(all)
		}
	}
	if held <= 0 || passed.Share <= 0 {
		return evidence{}, 0
	}
	beside := passed.Busy / passed.Share
	if w.tokens > 0 {
		tokens *= w.work / w.tokens
	}
	stay := w.stay
	if stay == 0 { // none has ended
		stay = max(t.Passed.Busy, 1)
	}
	return evidence{n: held / stay, held: held, share: held / beside, work: tokens, alike: beside}, passed.Taken / passed.Busy
}

// paused is how many tokens a second a request gets that is at work, however slow: less comes of streams that stand
// still, for what a tool or a person does meanwhile, and they tell nothing of what more of them would take from each other.
const paused = 0.05

// watched takes in what is seen of requests under way. It is learnt from once it is as much as one of them, or
// their number changes.
func (c *Controller) watched(t *Told, now time.Time) Reason {
	w := &c.watch
	e, places := w.look(t)
	if e.n == 0 {
		return Unchanged
	}
	if step := c.step(e.beside(), places); step != w.step {
		why := c.takeIn(now)
		if w.step = step; why != Unchanged {
			return why
		}
	}
	w.seen.n += e.n
	w.seen.held += e.held
	w.seen.share += e.share
	w.seen.work += e.work
	if w.seen.n < 1 {
		return Unchanged
	}
	return c.takeIn(now)
}

// takeIn learns from what has been seen at one number, unless it stands still.
func (c *Controller) takeIn(now time.Time) Reason {
	seen := c.watch.seen
	c.watch.seen = evidence{}
	if seen.n == 0 || seen.work < paused*seen.held {
		return Unchanged
	}
	return c.learn(c.watch.step, seen.whole(), now)
}

// whole is the evidence of all that has been seen at one number.
func (e evidence) whole() *evidence {
	const least = 0.01 // tokens: none at all are hard to compare with
	e.alike, e.work = e.beside(), max(e.work, least)
	return &e
}
