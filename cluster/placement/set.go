package placement

import (
	"slices"
)

// A ranked device is one that may take a replica.
type ranked struct {
	*device
	rank rank
}

// chooseSet returns the best devices of one node: those that reach each other
// fastest, then those that one alone would be placed on. The first of them is the
// one by which the instance is known.
func (p *plan) chooseSet(s *search) ([]*device, refusal) {
	why := s.shut
	var best []ranked
	bestLinks := -1
	pairs := s.devices() * (s.devices() - 1) / 2
	for _, at := range s.open {
		if bestLinks == pairs && s.hopeless(at, &best[0]) {
			continue
		}
		var among []ranked
		for _, dev := range at.usable {
			r := p.declines(s, dev)
			if r != fine {
				why = max(why, r)
				continue
			}
			if k := s.rank(dev); !s.parted || k.here == 0 {
				among = append(among, ranked{dev, k})
			}
		}
		if len(among) < s.devices() {
			continue
		}
		slices.SortStableFunc(among, func(a, b ranked) int { return b2i(b.rank.less(&a.rank)) - b2i(a.rank.less(&b.rank)) })
		for _, first := range among {
			set := around(first, among, s.devices())
			if set == nil {
				continue
			}
			if n := links(set); n > bestLinks || n == bestLinks && set[0].before(best[0]) {
				best, bestLinks = set, n
			}
		}
	}
	switch {
	case best != nil:
		out := make([]*device, len(best))
		for i, r := range best {
			out[i] = r.device
		}
		return out, fine
	case !p.suffices(s.devices()):
		return nil, tooFew
	}
	return nil, max(why, noDevice)
}

// before tells whether a replica would go to r rather than to o.
func (r ranked) before(o ranked) bool {
	return r.rank.less(&o.rank) || !o.rank.less(&r.rank) && r.at < o.at
}

// kindAt is a kind of devices on a site.
type kindAt struct {
	site int
	kind string
}

// suffices tells whether any node has n devices of a kind.
func (p *plan) suffices(n int) bool {
	have := map[kindAt]int{}
	for _, d := range p.devices {
		k := kindAt{d.site.at, d.load.Kind}
		if have[k]++; have[k] >= n {
			return true
		}
	}
	return false
}

// around is the set of n that begins with first: then the ones of its kind that it
// reaches fastest, then the best of the others. Nil: they are too few.
func around(first ranked, among []ranked, n int) []ranked {
	set := make([]ranked, 1, n)
	set[0] = first
	for _, near := range []bool{true, false} {
		for _, d := range among {
			if len(set) == n {
				return set
			}
			if d.device != first.device && d.load.Kind == first.load.Kind && slices.Contains(first.links, d.device) == near {
				set = append(set, d)
			}
		}
	}
	if len(set) < n {
		return nil
	}
	return set
}

// links counts the pairs of the set that reach each other fastest.
func links(set []ranked) (n int) {
	for i, a := range set {
		for _, b := range set[i+1:] {
			n += b2i(slices.Contains(a.links, b.device))
		}
	}
	return n
}
