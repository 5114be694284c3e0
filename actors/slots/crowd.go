package slots

import "time"

// A Crowd counts what requests of an instance have beside them. Its zero value has counted nothing.
type Crowd struct {
	passed Passed
	at     time.Time
}

// Passed is what has passed, in seconds.
type Passed struct {
	Busy     float64 // with any request there
	Held     float64 // of all requests that were there
	Streamed float64 // of those whose answers are seen as they come
	Share    float64 // of one over the requests that were there: what each had of the engine where that is full
	Taken    float64 // of places, those included that are granted and that nobody has come to
}

// Pass has the requests and places count as they have been since the last call, and returns all that has passed.
func (c *Crowd) Pass(there, streamed, taken int, now time.Time) Passed {
	if !c.at.IsZero() {
		s, p := max(now.Sub(c.at), 0).Seconds(), &c.passed
		if there > 0 {
			p.Busy += s
			p.Share += s / float64(there)
		}
		p.Held += s * float64(there)
		p.Streamed += s * float64(streamed)
		p.Taken += s * float64(taken)
	}
	c.at = now
	return c.passed
}

// Since is what has passed from then on.
func (p Passed) Since(then Passed) Passed {
	return Passed{p.Busy - then.Busy, p.Held - then.Held, p.Streamed - then.Streamed, p.Share - then.Share, p.Taken - then.Taken}
}
