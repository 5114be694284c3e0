package llamacpp

import "time"

// A Load is how busy an engine is, as of its last step.
type Load struct {
	Slots   int `json:"slots"`
	Running int `json:"running"`
	Queued  int `json:"queued"`
	// KVUse is the used part of the cache, 0 to 1.
	KVUse float64 `json:"kv_use"`
	// PrefillTPS and DecodeTPS are tokens per second of all slots together while at work, averaged
	// over recent steps that did only the one or only the other; 0: none yet.
	PrefillTPS float64 `json:"prefill_tps"`
	DecodeTPS  float64 `json:"decode_tps"`
}

func (g *generator) running() int {
	n := 0
	for _, s := range g.slots {
		if s != nil {
			n++
		}
	}
	return n
}

// publish lets others read the load without asking the loop.
func (g *generator) publish() {
	used := 0
	for _, s := range g.slots {
		if s != nil {
			used += s.cached()
		}
	}
	g.load.Store(&Load{
		Slots: len(g.slots), Running: g.running(), Queued: len(g.queue),
		KVUse:      float64(used) / float64(g.context*len(g.slots)),
		PrefillTPS: g.rates.prefill, DecodeTPS: g.rates.decode,
	})
}

// rates are moving averages.
type rates struct{ prefill, decode float64 }

func (r *rates) add(read, chosen int, took time.Duration) {
	seconds := max(took.Seconds(), 1e-9)
	switch {
	case read > 0 && chosen == 0:
		r.prefill = blend(r.prefill, float64(read)/seconds)
	case chosen > 0 && read == 0:
		r.decode = blend(r.decode, float64(chosen)/seconds)
	}
}

func blend(old, fresh float64) float64 {
	if old == 0 {
		return fresh
	}
	return old + 0.1*(fresh-old)
}
