package llamacpp

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

const (
	// lookEvery is how much computing goes by between two looks at what it waited for.
	lookEvery = 250 * time.Millisecond
	// crowdedShare of its time the thread that computes waits for a processor where others want it; below calmShare nobody
	// else does.
	crowdedShare = 0.25
	calmShare    = 0.05
	// calmLooks in a row let more threads compute; twice as many after each time that fewer had to, mostCalm at most.
	calmLooks = 8
	mostCalm  = 128
)

// A company is how many threads compute together where others want the processors too. Each spins until all have done
// their part, after each of some hundred operations; where one has to wait for its turn first, a step of milliseconds
// takes seconds. So half of them stand back, and come back a few at a time.
type company struct {
	most     int // threads, where nobody else wants the processors
	threads  int
	calm     int // looks in a row
	need     int // calm looks before more compute
	computed time.Duration
	waited   time.Duration // of it, by the thread that is looked at
}

func newCompany(threads int) company {
	return company{most: threads, threads: threads, need: calmLooks}
}

// add takes in a step of so many threads that took so long, and for how long of it one of them had a processor. It tells
// whether threads has changed.
func (c *company) add(used int, took, had time.Duration) (changed bool) {
	c.computed += took
	c.waited += max(took-had, 0)
	if c.computed < lookEvery {
		return false
	}
	share := c.waited.Seconds() / c.computed.Seconds()
	c.computed, c.waited = 0, 0
	was := c.threads
	switch {
	case share > crowdedShare:
		c.calm = 0
		if c.threads = max(min(used, c.threads)/2, 1); c.threads < was {
			c.need = min(2*c.need, mostCalm)
		}
	case share > calmShare:
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

// A crew decodes, on a CPU with as many threads as may.
type crew struct {
	company
	one, more int32 // threads for one token at a time, and for more, where nobody else wants the processors
	log       *slog.Logger
}

func newCrew(m *model, one, more int32, log *slog.Logger) crew {
	c := crew{one: one, more: more, log: log}
	if m.cpu { // a thread that waits for a GPU waits for no processor
		c.company = newCompany(int(max(one, more)))
	}
	return c
}

// decode is llama.Decode.
func (c *crew) decode(ctx llama.Context, b llama.Batch) (code int32, err error) {
	if c.most < 2 {
		return llama.Decode(ctx, b)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began, had := time.Now(), threadTime()
	code, err = llama.Decode(ctx, b)
	used := c.one
	if b.NTokens > 1 {
		used = c.more
	}
	if c.add(min(int(used), c.threads), time.Since(began), threadTime()-had) {
		llama.SetNThreads(ctx, min(c.one, int32(c.threads)), min(c.more, int32(c.threads)))
		c.log.Info("others want the processors, more or less than before", "threads", c.threads, "of", c.most)
	}
	return code, err
}
