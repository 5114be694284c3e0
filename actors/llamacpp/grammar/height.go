package grammar

import "math"

// endless is the height of what can never be written to its end.
const endless = math.MaxInt32

// heights are how deeply rules are nested, at least, in the shallowest text of each.
func (r rules) heights() map[string]int {
	h := make(map[string]int, len(r))
	for name := range r {
		h[name] = endless
	}
	names := sortedNames(r)
	for changed := true; changed; {
		changed = false
		for _, name := range names {
			if n := height(r[name], h); n < endless && n+1 < h[name] {
				h[name], changed = n+1, true
			}
		}
	}
	return h
}

func height(n node, known map[string]int) int {
	switch n := n.(type) {
	case ref:
		if h, ok := known[string(n)]; ok {
			return h
		}
		return endless
	case seq:
		most := 0
		for _, m := range n {
			most = max(most, height(m, known))
		}
		return most
	case alt:
		least := endless
		for _, m := range n {
			least = min(least, height(m, known))
		}
		return least
	case rep:
		if n.min == 0 {
			return 0
		}
		return height(n.item, known)
	}
	return 0
}
