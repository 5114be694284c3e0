package llamacpp

import (
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/starved"
)

const (
	// lookEvery is how much computing goes by between two looks at what it waited for.
	lookEvery = 250 * time.Millisecond
	// crowdedBy threads, on average, wait for a processor where others want it; by less than calmBy none does.
	crowdedBy = 0.5
	calmBy    = 0.1
	// calmLooks in a row let more threads compute; twice as many each time that these were too many, mostCalm at most.
	calmLooks = 8
	mostCalm  = 128
)

// A company is how many threads compute together where others want the processors too. Each spins until all have done
// their part, after each of some hundred operations; where one has to wait for its turn first, a step of milliseconds
// takes seconds. So as many stand back as wait, and come back a few at a time.
type company struct {
	most     int // threads, where nobody else wants the processors
	threads  int
	calm     int           // looks in a row
	need     int           // calm looks before more compute
	computed time.Duration // since the last look
	waited   time.Duration // total at the last look
}

// newCompany is of so many threads, which have waited for so long by now.
func newCompany(threads int, waited time.Duration) company {
	return company{most: threads, threads: threads, need: calmLooks, waited: waited}
}

// add takes in a step that took so long, with the total of all waiting where it is time to look. It tells whether
// threads has changed.
func (c *company) add(took time.Duration, total func() time.Duration) (changed bool) {
	if c.computed += took; c.computed < lookEvery {
		return false
	}
	now := total()
	waiting := max(now-c.waited, 0).Seconds() / c.computed.Seconds() // less: a thread has ended
	c.computed, c.waited = 0, now
	was := c.threads
	switch {
	case waiting > crowdedBy:
		c.calm = 0
		if c.threads = max(c.threads-int(math.Ceil(waiting)), 1); c.threads < was {
			c.need = min(2*c.need, mostCalm)
		}
	case waiting > calmBy:
		c.calm = 0
	default:
		if c.calm++; c.calm < c.need {
			break
		}
		if c.calm = 0; c.threads == c.most {
			c.need = calmLooks
		}
		c.threads += (c.most - c.threads + 3) / 4
	}
	return c.threads != was
}

// apply takes in a step of ctx, and has it compute with as many threads as may, for one token and for more.
func (c *company) apply(ctx llama.Context, took time.Duration, one, more int32, log *slog.Logger) {
	if c.most < 2 || !c.add(took, ownWaits) {
		return
	}
	llama.SetNThreads(ctx, min(one, int32(c.threads)), min(more, int32(c.threads)))
	log.Info("others want the processors, more or less than before", "threads", c.threads, "of", c.most)
}

// ownWaits is for how long this process has waited, all its threads together.
func ownWaits() time.Duration { return starved.Total(os.Getpid()) }
