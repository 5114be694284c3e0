package answers

import "time"

// Shares of a shelf's bytes: one in windowPart is for what is new, and of the rest four
// in five for what was asked for again.
const windowPart = 100

// A shelf is the answers of one deployment, kept by W-TinyLFU: what is new passes
// through a small window, and stays if it is asked for more often than what would have
// to make way. Its bytes never exceed its limit, be it for a moment. It has no lock.
type shelf struct {
	limit   int    // bytes, without the sketch
	own     int    // of it, that its settings allow
	asked   uint64 // in the settings
	ttl     time.Duration
	version uint64 // the newest that has an answer here
	beside  uint64 // an older one whose answers are kept all the same; 0: none

	by        map[Key]*entry
	window    *ring
	probation *ring
	protected *ring
	born      *ring // all by age
	sketch    *sketch
	total     *account

	hits, misses, joined uint64
}

// An account is what several shelves hold together.
type account struct {
	bytes   int
	metrics *Metrics
}

func newShelf(bytes uint64, total *account) *shelf {
	s := &shelf{by: map[Key]*entry{}, window: newRing(byUse), probation: newRing(byUse), protected: newRing(byUse), born: newRing(byAge), total: total}
	s.resize(bytes)
	return s
}

// resize sets the bound, the sketch included, and what is over it goes.
func (s *shelf) resize(bytes uint64) {
	if s.asked == bytes && s.sketch != nil {
		return
	}
	s.asked = bytes
	whole := int(min(bytes, 1<<40))
	s.sketch = newSketch(whole)
	s.own = max(whole-sketchSize(whole), 0)
	s.bind(s.own)
}

// bind has the shelf keep to so many bytes.
func (s *shelf) bind(limit int) {
	s.limit = limit
	for s.window.bytes > s.windowLimit() {
		s.contest(s.window.last())
	}
	for s.main() > s.mainLimit() {
		e := s.probation.last()
		if e == nil {
			e = s.protected.last()
		}
		s.remove(e, Outweighed)
	}
	s.settle()
}

func (s *shelf) used() int        { return s.born.bytes }
func (s *shelf) windowLimit() int { return s.limit / windowPart }
func (s *shelf) mainLimit() int   { return s.limit - s.windowLimit() }
func (s *shelf) main() int        { return s.probation.bytes + s.protected.bytes }

// find returns what is kept under the key, and counts that it was asked for.
func (s *shelf) find(k *Key, now time.Time) *entry {
	s.sketch.add(k.hash())
	e := s.by[*k]
	if e == nil {
		return nil
	}
	if s.ttl > 0 && now.Sub(e.of.At) >= s.ttl {
		s.remove(e, Expired)
		return nil
	}
	in := e.in
	in.drop(e)
	if in == s.probation {
		in = s.protected
	}
	s.enter(in, e)
	s.settle()
	return e
}

// settle takes from what is protected what is over its share.
func (s *shelf) settle() {
	for s.protected.bytes > s.mainLimit()/5*4 {
		e := s.protected.last()
		s.protected.drop(e)
		s.enter(s.probation, e)
	}
}

func (s *shelf) enter(r *ring, e *entry) {
	e.in = r
	r.push(e)
}

// put keeps the answer, unless what would make way for it is worth more.
func (s *shelf) put(k Key, a *Answer) {
	e := &entry{key: k, hash: k.hash(), of: a, size: sizeOf(&k, a)}
	if old := s.by[k]; old != nil {
		s.remove(old, Replaced)
	}
	s.renew(k.Version)
	if e.size > s.mainLimit() {
		s.total.metrics.evicted[TooLarge].Inc()
		return
	}
	if e.size > s.windowLimit() {
		if s.admits(e) {
			s.add(s.probation, e)
			return
		}
		s.total.metrics.evicted[Outweighed].Inc()
		return
	}
	for s.window.bytes+e.size > s.windowLimit() {
		s.contest(s.window.last())
	}
	s.add(s.window, e)
}

func (s *shelf) add(r *ring, e *entry) {
	s.by[e.key] = e
	s.born.push(e)
	s.total.bytes += e.size
	s.total.metrics.bytes.Add(float64(e.size))
	s.total.metrics.entries.Inc()
	s.enter(r, e)
}

// outdated tells whether answers of the version are not kept any more.
func (s *shelf) outdated(version uint64) bool { return version < s.version && version != s.beside }

// renew drops what older versions have left, once a newer one answers.
func (s *shelf) renew(version uint64) {
	if version <= s.version {
		return
	}
	s.version = version
	s.each(func(e *entry) bool { return s.outdated(e.key.Version) }, Outdated)
}

// contest moves e out of the window: to the rest, or away.
func (s *shelf) contest(e *entry) {
	s.window.drop(e)
	e.in = nil
	if s.admits(e) {
		s.enter(s.probation, e)
		return
	}
	s.forget(e, Outweighed)
}

// admits makes room for e beside what is kept, if that was asked for less often than e,
// all of it together.
func (s *shelf) admits(e *entry) bool {
	need := s.main() + e.size - s.mainLimit()
	worth, mine := 0, s.sketch.count(e.hash)
	var victims []*entry
	for at, in := s.probation.last(), s.probation; need > 0; {
		if at == nil {
			if in == s.protected {
				return false
			}
			in = s.protected
			at = in.last()
			continue
		}
		if worth += s.sketch.count(at.hash); worth >= mine {
			return false
		}
		victims = append(victims, at)
		need -= at.size
		at = in.before(at)
	}
	for _, v := range victims {
		s.remove(v, Outweighed)
	}
	return true
}

// shed removes the one that is worth least; false: there is none.
func (s *shelf) shed() bool {
	for _, r := range [...]*ring{s.probation, s.window, s.protected} {
		if e := r.last(); e != nil {
			s.remove(e, Outweighed)
			return true
		}
	}
	return false
}

// expire removes what is older than answers may be.
func (s *shelf) expire(now time.Time) {
	for e := s.born.last(); e != nil && s.ttl > 0 && now.Sub(e.of.At) >= s.ttl; e = s.born.last() {
		s.remove(e, Expired)
	}
}

// each removes those that fit, and tells how many.
func (s *shelf) each(fits func(*entry) bool, why Cause) (n int) {
	for _, e := range s.by {
		if fits(e) {
			s.remove(e, why)
			n++
		}
	}
	return n
}

func (s *shelf) remove(e *entry, why Cause) {
	e.in.drop(e)
	s.forget(e, why)
}

func (s *shelf) forget(e *entry, why Cause) {
	s.born.drop(e)
	delete(s.by, e.key)
	s.total.bytes -= e.size
	s.total.metrics.bytes.Sub(float64(e.size))
	s.total.metrics.entries.Dec()
	s.total.metrics.evicted[why].Inc()
}
