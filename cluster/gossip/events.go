package gossip

import "sync"

// A notifier tells subscribers of changes from one goroutine, in order. What is
// not told yet waits in a queue without a bound: memberlist must not be held
// up, and there are no more changes than members that come and go.
type notifier struct {
	wake chan struct{}
	done chan struct{}
	stop chan struct{}

	mu struct {
		sync.Mutex
		queue []func(*audience)
	}
}

// An audience is the subscribers, and what they have been told. Only the
// notifier's goroutine has it.
type audience struct {
	subscribers []func(Event)
	up          map[string]Event
	order       []string // of coming
}

func newNotifier() *notifier {
	return &notifier{wake: make(chan struct{}, 1), done: make(chan struct{}), stop: make(chan struct{})}
}

func (n *notifier) push(f func(*audience)) {
	n.mu.Lock()
	n.mu.queue = append(n.mu.queue, f)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// tell queues e for every subscriber.
func (n *notifier) tell(e Event) { n.push(func(a *audience) { a.tell(e) }) }

// subscribe queues fn to be told of everybody who is there, and then of changes.
func (n *notifier) subscribe(fn func(Event)) { n.push(func(a *audience) { a.add(fn) }) }

// run tells until close is called.
func (n *notifier) run() {
	defer close(n.done)
	a := &audience{up: map[string]Event{}}
	for {
		select {
		case <-n.stop:
			return
		case <-n.wake:
		}
		for _, f := range n.take() {
			select {
			case <-n.stop:
				return
			default:
				f(a)
			}
		}
	}
}

func (n *notifier) take() []func(*audience) {
	n.mu.Lock()
	defer n.mu.Unlock()
	queue := n.mu.queue
	n.mu.queue = nil
	return queue
}

// close ends the telling and waits for a subscriber that is being told.
func (n *notifier) close() {
	close(n.stop)
	<-n.done
}

func (a *audience) tell(e Event) {
	id := string(e.Member.ID)
	_, known := a.up[id]
	switch {
	case e.Up && !known:
		a.order = append(a.order, id)
		a.up[id] = e
	case e.Up:
		a.up[id] = e
	case !known:
		return
	default:
		delete(a.up, id)
		a.order = remove(a.order, id)
	}
	for _, fn := range a.subscribers {
		fn(e)
	}
}

func (a *audience) add(fn func(Event)) {
	for _, id := range a.order {
		fn(a.up[id])
	}
	a.subscribers = append(a.subscribers, fn)
}

func remove(ids []string, id string) []string {
	out := ids[:0]
	for _, x := range ids {
		if x != id {
			out = append(out, x)
		}
	}
	return out
}
