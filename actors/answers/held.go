package answers

import (
	"fmt"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	// maxHeld is how many bytes of a flight's answer are held. Of a longer one, which is not
	// kept, it is what its readers may be apart.
	maxHeld = 4 << 20
	// leastHeld is what each flight may hold though there is no memory for it: it must pass on.
	leastHeld = 64 << 10
	// behindFor is how long a reader may keep those waiting who have read all that is held.
	behindFor = time.Second
)

var errBehind = fmt.Errorf("%w: %w", spec.ErrBroken, spec.ErrBehind)

// Write adds to the answer, for one caller at a time. It waits while what is held is full, and
// fails when nobody reads. Readers who then hold up others for long fall out.
func (f *Flight) Write(p []byte) (int, error) {
	done, waited := 0, f.waited
	for done < len(p) {
		f.widen(len(p) - done)
		n, err := f.write(p[done:])
		if done += n; err != nil {
			return done, err
		}
	}
	if f.waited == waited { // they keep pace
		f.waited = 0
	}
	return done, nil
}

// widen has more be held, if n bytes more need it and there is memory for it.
func (f *Flight) widen(n int) {
	f.mu.Lock()
	need, have := len(f.mu.buf)+n, f.mu.counted
	passing := f.mu.base > 0 || f.mu.left
	f.mu.Unlock()
	if need <= have || have >= maxHeld || passing && have > 0 {
		return
	}
	more := min(max(need, 2*have, leastHeld), maxHeld) - have
	if have == 0 && !f.cache.count(more) {
		f.cache.mustCount(leastHeld)
		more = leastHeld
	} else if have > 0 && !f.cache.count(more) {
		return
	}
	f.mu.Lock()
	if f.mu.left { // what it had was freed
		f.mu.Unlock()
		f.cache.uncount(more)
		return
	}
	f.mu.counted += more
	f.mu.buf = append(make([]byte, 0, f.mu.counted), f.mu.buf...)
	f.mu.Unlock()
}

// write adds what there is room for, and waits for room for some of it.
func (f *Flight) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.buf) == cap(f.mu.buf) && !f.mu.left {
		if !f.slideLocked() {
			f.awaitLocked()
		}
	}
	if f.mu.left {
		return 0, ErrLeft
	}
	n := min(len(p), cap(f.mu.buf)-len(f.mu.buf))
	f.mu.buf = append(f.mu.buf, p[:n]...)
	f.turn.Broadcast()
	return n, nil
}

// awaitLocked waits for the slowest readers. Where others have read all that is held, the
// slowest have so long, and fall out.
func (f *Flight) awaitLocked() {
	end, ahead := f.mu.base+int64(len(f.mu.buf)), false
	for r := range f.mu.readers {
		ahead = ahead || r.at == end
	}
	if !ahead {
		f.turn.Wait()
		return
	}
	if f.waited >= behindFor {
		f.waited = 0
		for r := range f.mu.readers {
			if r.at == f.mu.base {
				r.leaveLocked(errBehind)
				f.cache.cfg.Metrics.behind.Inc()
			}
		}
		return
	}
	began := time.Now()
	late := time.AfterFunc(behindFor-f.waited, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.turn.Broadcast()
	})
	f.turn.Wait()
	late.Stop()
	f.waited += time.Since(began)
}

// slideLocked forgets what all have read; false: that is nothing.
func (f *Flight) slideLocked() bool {
	least := f.mu.base + int64(len(f.mu.buf))
	for r := range f.mu.readers {
		least = min(least, r.at)
	}
	n := int(least - f.mu.base)
	if n == 0 {
		return false
	}
	f.mu.base = least
	f.mu.buf = f.mu.buf[:copy(f.mu.buf, f.mu.buf[n:])]
	return true
}

// freeLocked is what need not be counted any more, as nobody reads it.
func (f *Flight) freeLocked() (n int) {
	if len(f.mu.readers) > 0 || !f.mu.left && !f.mu.ended {
		return 0
	}
	n, f.mu.counted, f.mu.buf = f.mu.counted, 0, nil
	return n
}

// count has the cache's bound leave so many bytes for a flight, for which kept answers make
// way as long as flights have no more than half of it; false: there are not so many.
func (c *Cache) count(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.held+n > c.cfg.Bytes/2 {
		return false
	}
	c.shedLocked(n)
	c.heldLocked(n)
	return true
}

// mustCount is count for what a flight cannot do without.
func (c *Cache) mustCount(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shedLocked(n)
	c.heldLocked(n)
}

func (c *Cache) uncount(n int) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heldLocked(-n)
}

func (c *Cache) heldLocked(n int) {
	c.mu.held += n
	c.cfg.Metrics.held.Add(float64(n))
}

// shedLocked has kept answers make way for n bytes, those of the fullest shelf first.
func (c *Cache) shedLocked(n int) {
	for c.mu.total.bytes+c.mu.held+n > c.cfg.Bytes {
		if most := c.largestLocked(); most == nil || !most.shed() {
			return
		}
	}
}
