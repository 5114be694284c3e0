package relay

import "sync"

// A crew runs functions in goroutines that are used again: a stack that has grown for a request is there for
// the next, which in a new goroutine would be copied several times, each time to one twice as large. Streams that
// wait have small ones of their own. The zero crew is ready.
type crew struct {
	mu struct {
		sync.Mutex
		idle   []chan func() // the last to become so behind; of as many hands
		closed bool
	}
	waiting sync.WaitGroup // of those that are idle
}

// mostIdle bounds the hands that wait for work.
const mostIdle = 128

// run runs f. It does not wait.
func (c *crew) run(f func()) {
	c.mu.Lock()
	last := len(c.mu.idle) - 1
	if last < 0 {
		c.mu.Unlock()
		go c.hand(f)
		return
	}
	next := c.mu.idle[last]
	c.mu.idle = c.mu.idle[:last]
	c.mu.Unlock()
	next <- f
}

// hand runs f, and what it is given after.
func (c *crew) hand(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		if f(); !c.rests(next) {
			return
		}
		f = <-next
		c.waiting.Done()
	}
}

// rests has a hand be given work by next; false: there are enough.
func (c *crew) rests(next chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed || len(c.mu.idle) >= mostIdle {
		return false
	}
	c.waiting.Add(1)
	c.mu.idle = append(c.mu.idle, next)
	return true
}

// close ends the idle hands and waits for them. Others end with what they do.
func (c *crew) close() {
	c.mu.Lock()
	c.mu.closed = true
	idle := c.mu.idle
	c.mu.idle = nil
	c.mu.Unlock()
	for _, next := range idle {
		close(next)
	}
	c.waiting.Wait()
}
