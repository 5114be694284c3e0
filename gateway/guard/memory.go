package guard

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

// A Memory remembers for a while that something was there, without the thing: what
// it is given may be a secret. When there is too much, the oldest is forgotten.
type Memory struct {
	keep time.Duration
	held int
	now  func() time.Time
	seed maphash.Seed
	mu   struct {
		sync.Mutex
		of     map[uint64]*list.Element // of memory
		recent *list.List               // the newest first
	}
}

type memory struct {
	of uint64
	at time.Time
}

// NewMemory returns a Memory that keeps held things at most, each as long. A nil now
// is time.Now.
func NewMemory(keep time.Duration, held int, now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{keep: keep, held: held, now: now, seed: maphash.MakeSeed()}
	m.mu.of, m.mu.recent = map[uint64]*list.Element{}, list.New()
	return m
}

// Has tells whether the thing was put in of late.
func (m *Memory) Has(thing []byte) bool {
	sum := maphash.Bytes(m.seed, thing)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.mu.of[sum]
	return e != nil && m.now().Sub(e.Value.(memory).at) < m.keep
}

// Put remembers the thing from now on.
func (m *Memory) Put(thing []byte) {
	sum := maphash.Bytes(m.seed, thing)
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.mu.of[sum]; e != nil {
		m.mu.recent.Remove(e)
	} else if m.mu.recent.Len() >= m.held {
		delete(m.mu.of, m.mu.recent.Remove(m.mu.recent.Back()).(memory).of)
	}
	m.mu.of[sum] = m.mu.recent.PushFront(memory{sum, m.now()})
}
