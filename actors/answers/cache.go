package answers

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config of a Cache.
type Config struct {
	Bytes   int              // of all deployments' answers together, those under way included
	Now     func() time.Time // nil: time.Now
	Metrics *Metrics         // nil: none
}

// A Cache is one device's kept answers and those under way. Its methods may be called
// from any goroutine.
type Cache struct {
	cfg Config
	mu  struct {
		sync.Mutex
		shelves map[string]*shelf   // by deployment
		flights map[Key]*Flight     // that others may join
		gone    map[string]struct{} // deployments that keep no answers, as was told last
		pairs   map[string]pair     // by deployment that has, or had, a canary
		total   account
		held    int // bytes of flights, which total is without
		closed  bool
	}
	flying sync.WaitGroup // flights that have not ended
}

// New returns an empty Cache.
func New(c Config) *Cache {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	cache := &Cache{cfg: c}
	cache.mu.shelves, cache.mu.flights, cache.mu.gone, cache.mu.pairs = map[string]*shelf{}, map[Key]*Flight{}, map[string]struct{}{}, map[string]pair{}
	cache.mu.total.metrics = c.Metrics
	return cache
}

// A Request is what a request says of itself.
type Request struct {
	Key      Key
	By       string        // the tenant that asks, also where the answer is for all
	TTL      time.Duration // for which answers of the deployment are kept
	MaxBytes uint64        // of the deployment's answers
	MaxAge   time.Duration // an older answer will not do; 0: any
	Fresh    bool          // no answer will do that was begun before
	Only     bool          // nothing is to be begun for it
}

// A Found is what there is for a request: an answer, or one under way. Neither: there is
// none, and Only forbids to begin one, or the cache is closed.
type Found struct {
	Answer *Answer
	Age    time.Duration // of the answer
	Reader *Reader       // of the flight
	Flight *Flight       // not nil: the caller is to run it, and to end it by Land or Fail
}

// Ask looks the request up, or begins a flight for it.
func (c *Cache) Ask(r *Request) Found {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, gone := c.mu.gone[r.Key.Deployment]; gone { // by a gateway that has not heard of it
		return c.askAloneLocked(r)
	}
	now := c.cfg.Now()
	s := c.shelfLocked(r)
	if e := s.find(&r.Key, now); e != nil && !r.Fresh {
		if age := now.Sub(e.of.At); r.MaxAge <= 0 || age <= r.MaxAge {
			s.hits++
			c.cfg.Metrics.hits.Inc()
			return Found{Answer: e.of, Age: max(age, 0)}
		}
	}
	if f := c.mu.flights[r.Key]; f != nil && !r.Fresh {
		if reader := f.join(); reader != nil {
			s.joined++
			c.cfg.Metrics.joined.Inc()
			return Found{Reader: reader}
		}
	}
	if r.Only || c.mu.closed {
		return Found{}
	}
	s.misses++
	c.cfg.Metrics.misses.Inc()
	f := newFlight(c, r.Key, r.By)
	c.mu.flights[r.Key] = f
	c.flying.Add(1)
	return Found{Flight: f, Reader: f.join()}
}

// askAloneLocked is Ask for who gets an answer that is neither kept nor shared.
func (c *Cache) askAloneLocked(r *Request) Found {
	if r.Only || c.mu.closed {
		return Found{}
	}
	c.cfg.Metrics.misses.Inc()
	f := newFlight(c, r.Key, r.By)
	c.flying.Add(1)
	return Found{Flight: f, Reader: f.join()}
}

// shelfLocked is the deployment's, as its settings are now.
func (c *Cache) shelfLocked(r *Request) *shelf {
	bytes := min(r.MaxBytes, uint64(max(c.cfg.Bytes, 0)))
	s := c.mu.shelves[r.Key.Deployment]
	if s == nil {
		s = newShelf(bytes, &c.mu.total)
		s.beside = c.mu.pairs[r.Key.Deployment].older
		c.mu.shelves[r.Key.Deployment] = s
	}
	s.resize(bytes)
	s.ttl = r.TTL
	return s
}

// land ends the flight; a is its answer if that is to be kept.
func (c *Cache) land(f *Flight, a *Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.flights[f.key] != f { // it was purged meanwhile, or a fresh one was asked for
		return
	}
	delete(c.mu.flights, f.key)
	s := c.mu.shelves[f.key.Deployment]
	if a == nil || s == nil || c.mu.closed || s.outdated(f.key.Version) || f.key.Version == c.mu.pairs[f.key.Deployment].ended {
		return
	}
	s.expire(a.At)
	counted := f.countedNow()
	c.heldLocked(-counted)
	if c.keepLocked(s, f.key, a); s.by[f.key] != nil && s.by[f.key].of == a {
		f.kept()
		return
	}
	c.heldLocked(counted)
}

// keepLocked puts the answer on its shelf. Where all shelves together are full, the one
// that takes most makes way: by its own choice if that is the answer's.
func (c *Cache) keepLocked(s *shelf, k Key, a *Answer) {
	size := sizeOf(&k, a)
	for c.mu.total.bytes+c.mu.held+size > c.cfg.Bytes {
		most := c.largestLocked()
		if most == s {
			s.bind(min(s.own, max(s.used()+c.cfg.Bytes-c.mu.total.bytes-c.mu.held, 0)))
			s.put(k, a)
			s.bind(s.own)
			return
		}
		if !most.shed() {
			return
		}
	}
	s.put(k, a)
}

// largestLocked is the shelf that takes most.
func (c *Cache) largestLocked() *shelf {
	var most *shelf
	var of string
	for name, s := range c.mu.shelves {
		if most == nil || s.used() > most.used() || s.used() == most.used() && name < of {
			most, of = s, name
		}
	}
	return most
}

// unlist has nobody join the flight any more.
func (c *Cache) unlist(f *Flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.flights[f.key] == f {
		delete(c.mu.flights, f.key)
	}
}

// A Match says which answers are meant: those that all fields fit that are not empty.
type Match struct {
	Tenant     string // whose they are, or by whose request they were made where they are everybody's
	Deployment string
	Sum        *[32]byte
}

func (m *Match) fits(k *Key, by string) bool {
	whose := k.Tenant
	if whose == "" {
		whose = by
	}
	return (m.Tenant == "" || m.Tenant == whose) && (m.Deployment == "" || m.Deployment == k.Deployment) && (m.Sum == nil || *m.Sum == k.Sum)
}

// Purge drops those answers and tells how many. What is under way is not kept, nor
// joined by who asks from now on.
func (c *Cache) Purge(m Match) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.mu.shelves {
		n += s.each(func(e *entry) bool { return m.fits(&e.key, e.of.By) }, Purged)
	}
	maps.DeleteFunc(c.mu.flights, func(k Key, f *Flight) bool { return m.fits(&k, f.by) })
	return n
}

// manyGone bounds how many deployments without answers are remembered; past it all are forgotten.
const manyGone = 4096

// A pair is the two versions of a deployment with a canary; where that is over, one may have ended
// that is newer than the other: no more answers of it are kept, though older ones are not outdated by it.
type pair struct{ older, newer, ended uint64 }

// now is what becomes of the pair where the deployment is of those versions.
func (p pair) now(versions []uint64) pair {
	newest := slices.Max(versions)
	if len(versions) > 1 {
		return pair{older: slices.Min(versions), newer: newest, ended: p.ended}
	}
	if ended := max(p.newer, p.ended); ended > newest {
		return pair{ended: ended}
	}
	return pair{}
}

// Serves says that the deployment is of those versions now, one or, with a canary, two; none: it is
// gone, or keeps no answers, until the next word. Those of others go. While instances of an older
// version serve still, theirs are kept until one of a newer version has answered.
func (c *Cache) Serves(deployment string, versions ...uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.shelves[deployment]
	if s != nil {
		s.each(func(e *entry) bool { return !slices.Contains(versions, e.key.Version) }, Outdated)
	}
	if len(versions) > 0 {
		now := c.mu.pairs[deployment].now(versions)
		if c.mu.pairs[deployment] = now; now == (pair{}) {
			delete(c.mu.pairs, deployment)
		}
		if s != nil {
			s.beside, s.version = now.older, min(s.version, slices.Max(versions))
		}
		delete(c.mu.gone, deployment)
		return
	}
	delete(c.mu.pairs, deployment)
	if len(c.mu.gone) >= manyGone {
		clear(c.mu.gone)
	}
	c.mu.gone[deployment] = struct{}{}
	maps.DeleteFunc(c.mu.flights, func(k Key, _ *Flight) bool { return k.Deployment == deployment })
	delete(c.mu.shelves, deployment)
}

// Expire drops what is older than answers may be, so that memory comes back though
// nobody asks.
func (c *Cache) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.mu.shelves {
		s.expire(c.cfg.Now())
	}
}

// A Stat is what a Cache tells of one deployment.
type Stat struct {
	Deployment string
	Entries    int
	Bytes      int
	Hits       uint64
	Misses     uint64
	Joined     uint64
}

// Stats lists them by name.
func (c *Cache) Stats() []Stat {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Stat, 0, len(c.mu.shelves))
	for name, s := range c.mu.shelves {
		out = append(out, Stat{name, len(s.by), s.used(), s.hits, s.misses, s.joined})
	}
	slices.SortFunc(out, func(a, b Stat) int { return strings.Compare(a.Deployment, b.Deployment) })
	return out
}

// Close has nothing be kept or begun any more, and waits for the flights under way,
// which their engines' ends end.
func (c *Cache) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.flying.Wait()
	c.Purge(Match{})
}
