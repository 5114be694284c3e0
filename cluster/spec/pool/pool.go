package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Pool lends values of type T. What is not given back is the collector's.
type Pool[T any] struct {
	name string
	made func() *T
	off  atomic.Bool
	free sync.Pool

	_       [64]byte // what follows is written by every processor that takes
	gets    atomic.Uint64
	_       [64]byte
	misses  atomic.Uint64
	dropped atomic.Uint64 // by the collector, of those that were made
}

// New returns a pool of that name, of which a process has one. It is for variables of packages.
func New[T any](name string, made func() *T) *Pool[T] {
	p := &Pool[T]{name: name, made: made}
	all.Lock()
	defer all.Unlock()
	if all.by == nil {
		all.by = map[string]counted{}
	}
	if all.by[name] != nil {
		panic("two pools are named " + name)
	}
	all.by[name] = p
	return p
}

// Get returns one that was given back, as it was then, or a new one.
func (p *Pool[T]) Get() *T {
	if p.off.Load() {
		return p.made()
	}
	p.gets.Add(1)
	if v, _ := p.free.Get().(*T); v != nil {
		return v
	}
	v := p.made()
	p.misses.Add(1)
	runtime.AddCleanup(v, func(dropped *atomic.Uint64) { dropped.Add(1) }, &p.dropped)
	return v
}

// Put gives v back, which the caller must not touch any more.
func (p *Pool[T]) Put(v *T) {
	if !p.off.Load() {
		p.free.Put(v)
	}
}

func (p *Pool[T]) stats() Stats {
	dropped := p.dropped.Load() // before misses, lest there be fewer than none
	misses := p.misses.Load()
	return Stats{Gets: p.gets.Load(), Misses: misses, Items: int64(misses - dropped)}
}

func (p *Pool[T]) turn(off bool) { p.off.Store(off) }

// counted is a Pool of any type.
type counted interface {
	stats() Stats
	turn(off bool)
}

// all are the pools of this process.
var all struct {
	sync.Mutex
	by map[string]counted
}

// Without has the pool of that name lend nothing twice and count nothing, until back is called; false: there is
// none. It is for benchmarks, which show what the pool is worth.
func Without(name string) (back func(), ok bool) {
	all.Lock()
	defer all.Unlock()
	p := all.by[name]
	if p == nil {
		return nil, false
	}
	p.turn(true)
	return func() { p.turn(false) }, true
}
