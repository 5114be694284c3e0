package llamacpp

import "time"

// A Load is how busy an engine is, as of its last step.
type Load struct {
	Slots   int `json:"slots"`
	Running int `json:"running"`
	Queued  int `json:"queued"`
	// KVUse is the part of the cache that running requests use, 0 to 1: what is only kept for later
	// gives way to whoever needs the room.
	KVUse float64 `json:"kv_use"`
	// KVTokens is what running requests hold of KVCapacity, CachedTokens what idle slots hold besides, and
	// ShelfTokens what is kept of others in ShelfBytes of the main memory.
	KVTokens     int `json:"kv_tokens"`
	KVCapacity   int `json:"kv_capacity"`
	CachedTokens int `json:"cached_tokens"`
	ShelfTokens  int `json:"shelf_tokens"`
	ShelfBytes   int `json:"shelf_bytes"`
	// BacklogTokens is what is still to be read of the prompts of running and queued requests. What a
	// queued one will find in the cache is not known before it has its slot, and counts.
	BacklogTokens int `json:"backlog_tokens"`
	// PrefillTPS and DecodeTPS are tokens per second of all slots together while at work, averaged
	// over recent steps; 0: none yet.
	PrefillTPS float64 `json:"prefill_tps"`
	DecodeTPS  float64 `json:"decode_tps"`
	Totals     Totals  `json:"totals"`
}

// Totals count since the engine's start.
type Totals struct {
	Prompt    uint64 `json:"prompt_tokens"`    // of requests that were given a slot
	Cached    uint64 `json:"cached_tokens"`    // of these, not read again
	Generated uint64 `json:"generated_tokens"` // put into the cache by decoding; the last one of an answer never is
	// Steps grows with all that is computed, vectors included, and several times within a step that takes long.
	Steps uint64 `json:"steps"`
}

func (g *generator) running() int {
	n := 0
	for _, s := range g.slots {
		if s.work != nil {
			n++
		}
	}
	return n
}

// publish lets others read the load without asking the loop.
func (g *generator) publish() {
	l := Load{
		Slots: len(g.slots), Running: g.running(), Queued: len(g.queue), KVCapacity: g.context * len(g.slots),
		PrefillTPS: g.rates.prefill, DecodeTPS: g.rates.decode, Totals: g.totals,
		ShelfTokens: g.shelf.tokens(), ShelfBytes: g.shelf.bytes,
	}
	for _, s := range g.slots {
		if s.work == nil {
			l.CachedTokens += len(s.held)
			continue
		}
		l.KVTokens += len(s.held)
		l.BacklogTokens += len(s.work.prompt) - s.work.read
	}
	for _, j := range g.queue {
		l.BacklogTokens += len(j.prompt)
	}
	l.KVUse = float64(l.KVTokens) / float64(l.KVCapacity)
	g.load.Store(&l)
}

// rates are moving averages.
type rates struct{ prefill, decode float64 }

// add learns from a step. One that did both tells of the reading what is left after the choosing at the
// speed known.
func (r *rates) add(read, chosen int, took time.Duration) {
	seconds := max(took.Seconds(), 1e-9)
	switch {
	case chosen == 0:
		r.prefill = blend(r.prefill, float64(read)/seconds)
	case read == 0:
		r.decode = blend(r.decode, float64(chosen)/seconds)
	case r.decode > 0:
		if rest := seconds - float64(chosen)/r.decode; rest > seconds/4 {
			r.prefill = blend(r.prefill, float64(read)/rest)
		}
	}
}

func blend(old, fresh float64) float64 {
	if old == 0 {
		return fresh
	}
	return old + 0.1*(fresh-old)
}
