package llamacpp

import (
	"log/slog"
	"os"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/lotabots/lotabots/actors/starved"
)

const (
	// lookEvery is how much computing goes by between two looks at what it waited for.
	lookEvery = 250 * time.Millisecond
	// crowdedShare of the time that is computed is what threads wait for a processor, all together, where others
	// want it: half a thread's. Below calmShare they have it to themselves.
	crowdedShare = 0.5
	calmShare    = 0.1
	// calmLooks in a row have all threads compute again.
	calmLooks = 8
)

// A company tells whether the processors are crowded. Threads that compute together spin until all have done
// their part, after each of some hundred operations; where others want the processors too, each such wait may
// last as long as their turns, and a step of milliseconds takes seconds. One thread alone is late by its share only.
type company struct {
	crowded  bool
	calm     int           // looks in a row
	computed time.Duration // since the last look
	waited   time.Duration // total at the last look
}

// add takes in a step that took so long, with the total of all waiting where it is time to look. It tells
// whether crowded has changed.
func (c *company) add(took time.Duration, total func() time.Duration) (changed bool) {
	if c.computed += took; c.computed < lookEvery {
		return false
	}
	now := total()
	share := max(now-c.waited, 0).Seconds() / c.computed.Seconds() // less: a thread has ended
	c.computed, c.waited = 0, now
	was := c.crowded
	switch {
	case share > crowdedShare:
		c.crowded, c.calm = true, 0
	case share > calmShare:
		c.calm = 0
	case c.crowded:
		if c.calm++; c.calm >= calmLooks {
			c.crowded, c.calm = false, 0
		}
	}
	return c.crowded != was
}

// ownWaits is the total of this process.
func ownWaits() time.Duration { return starved.Total(os.Getpid()) }

// apply takes in a step of ctx, and has it compute with all its threads, for one token and for more, or with one.
func (c *company) apply(ctx llama.Context, took time.Duration, threads [2]int32, log *slog.Logger) {
	if max(threads[0], threads[1]) < 2 || !c.add(took, ownWaits) {
		return
	}
	if c.crowded {
		threads = [2]int32{1, 1}
	}
	llama.SetNThreads(ctx, threads[0], threads[1])
	log.Info("threads that compute", "crowded", c.crowded, "threads", threads[0], "batch_threads", threads[1])
}
