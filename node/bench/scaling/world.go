package main

import (
	"container/heap"
	"time"
)

const (
	slots    = 4 // of a replica
	target   = 500 * time.Millisecond
	patience = 10 * time.Second // of requests that wait
)

// A replica is loaded, serves, and ends when it drains and has nothing more to do.
type replica struct {
	serves   time.Duration // from then on
	running  int
	draining bool
}

// A world is one deployment on virtual time: its replicas, and one queue, since gateways
// bind requests late.
type world struct {
	now      time.Duration
	load     time.Duration // that a replica takes to be loaded
	trace    []request
	next     int   // of the trace
	queue    []int // of the trace, the first that came first
	replicas []*replica
	ends     ends
	seconds  []second // what was counted, by second
	changes  int
	spent    time.Duration // by all replicas together, loading included
}

type second struct {
	arrived, refused int
	waits            []time.Duration // of those that were given a place
}

// An end is when a request gives its slot back.
type end struct {
	at time.Duration
	r  *replica
}

type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// newWorld has n replicas that serve.
func newWorld(trace []request, load time.Duration, n int) *world {
	w := &world{trace: trace, load: load}
	for range n {
		w.replicas = append(w.replicas, &replica{})
	}
	return w
}

// second lets one second pass.
func (w *world) second() {
	until := w.now + time.Second
	w.seconds = append(w.seconds, second{})
	for {
		at := until
		if w.next < len(w.trace) {
			at = min(at, w.trace[w.next].at)
		}
		if len(w.ends) > 0 {
			at = min(at, w.ends[0].at)
		}
		for _, r := range w.replicas {
			if r.serves > w.now {
				at = min(at, r.serves)
			}
		}
		if len(w.queue) > 0 {
			at = min(at, w.trace[w.queue[0]].at+patience)
		}
		w.spent += time.Duration(len(w.replicas)) * (at - w.now)
		if w.now = at; at >= until {
			return
		}
		w.happen()
	}
}

// happen does what is due now.
func (w *world) happen() {
	for len(w.ends) > 0 && w.ends[0].at <= w.now {
		heap.Pop(&w.ends).(end).r.running--
	}
	for w.next < len(w.trace) && w.trace[w.next].at <= w.now {
		w.this().arrived++
		w.queue = append(w.queue, w.next)
		w.next++
	}
	for len(w.queue) > 0 {
		i := w.queue[0]
		r := &w.trace[i]
		place := w.free()
		switch {
		case place != nil:
			r.waited = w.now - r.at
			w.this().waits = append(w.this().waits, r.waited)
			place.running++
			heap.Push(&w.ends, end{w.now + r.holds, place})
		case w.now-r.at >= patience:
			r.refused = true
			w.this().refused++
		default:
			w.tidy()
			return
		}
		w.queue = w.queue[1:]
	}
	w.tidy()
}

func (w *world) this() *second { return &w.seconds[len(w.seconds)-1] }

// free is the least loaded replica with a slot; nil: none has one.
func (w *world) free() (best *replica) {
	for _, r := range w.replicas {
		if !r.draining && r.serves <= w.now && r.running < slots && (best == nil || r.running < best.running) {
			best = r
		}
	}
	return best
}

// tidy takes away the replicas that have drained.
func (w *world) tidy() {
	kept := w.replicas[:0]
	for _, r := range w.replicas {
		if !r.draining || r.running > 0 {
			kept = append(kept, r)
		}
	}
	w.replicas = kept
}

// want has so many replicas: new ones load, and those that have least to do drain.
func (w *world) want(n int) {
	have := w.placed()
	w.changes += max(n-have, have-n)
	for ; have < n; have++ {
		w.replicas = append(w.replicas, &replica{serves: w.now + w.load})
	}
	for ; have > n; have-- {
		var least *replica
		for _, r := range w.replicas {
			if !r.draining && (least == nil || r.serves > w.now && least.serves <= w.now || r.running < least.running && (r.serves > w.now) == (least.serves > w.now)) {
				least = r
			}
		}
		least.draining = true
	}
	w.tidy()
}

// placed counts the replicas that are to stay, ready those of them that serve, and
// running the requests on all.
func (w *world) placed() (n int) {
	for _, r := range w.replicas {
		if !r.draining {
			n++
		}
	}
	return n
}

func (w *world) ready() (n int) {
	for _, r := range w.replicas {
		if !r.draining && r.serves <= w.now {
			n++
		}
	}
	return n
}

func (w *world) running() int { return len(w.ends) }
