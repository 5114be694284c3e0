package chaos

import (
	"slices"
	"time"
)

// A Second is one second of a run as its clients saw it.
type Second struct {
	Complete int           `json:"complete"` // requests that ended so, by when they ended
	Errors   int           `json:"errors"`   // error events and HTTP errors
	Lost     int           `json:"lost"`     // no connection, or a broken one
	Broken   int           `json:"broken"`   // promises: cut off, garbled, without an end
	Keys     int           `json:"keys"`     // operations on keys that were answered
	P99      time.Duration `json:"p99_ns"`   // of the complete ones
}

// strip counts what ended in each second from begin on.
func strip(ops []Op, begin time.Duration) []Second {
	var out []Second
	var took [][]time.Duration
	for _, o := range ops {
		if o.End < begin || o.Client < 0 || o.Client >= lastLook || o.Op == OpFault {
			continue
		}
		at := int((o.End - begin) / time.Second)
		for len(out) <= at {
			out, took = append(out, Second{}), append(took, nil)
		}
		s := &out[at]
		switch {
		case o.Op != OpInfer && o.Result != Unknown:
			s.Keys++
		case o.Op != OpInfer:
		case o.Result == Complete:
			s.Complete++
			took[at] = append(took[at], o.End-o.Begin)
		case o.Result == ErrorEvent || o.Result == HTTPError:
			s.Errors++
		case o.Result == NoConnect || o.Result == Broken:
			s.Lost++
		default:
			s.Broken++
		}
	}
	for i := range out {
		out[i].P99 = quantile(took[i], 0.99)
	}
	return out
}

// quantile of the times, which it sorts; 0 where there are none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(len(times)-1, int(q*float64(len(times))))]
}

// counts tells how many operations ended in which way.
func counts(ops []Op) map[string]int {
	out := map[string]int{}
	for _, o := range ops {
		if o.Op != OpFault && o.Op != OpWhole && o.Op != OpHeld {
			out[o.Op+": "+o.Result]++
		}
	}
	return out
}
