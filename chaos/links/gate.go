package links

import "sync"

// A gate is one direction between two nodes. A nil gate is always open.
type gate struct {
	mu   sync.Mutex
	mode Mode          // empty: open
	free chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{free: make(chan struct{})}
	close(g.free)
	return g
}

func (g *gate) shut(m Mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode == "" {
		g.free = make(chan struct{})
	}
	g.mode = m
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode != "" {
		g.mode = ""
		close(g.free)
	}
}

// state is the mode of the cut, or "".
func (g *gate) state() Mode {
	if g == nil {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode
}

// wait returns true once the gate is open, or false once one of the channels is closed.
func (g *gate) wait(done, ended <-chan struct{}) bool {
	if g == nil {
		return true
	}
	for {
		g.mu.Lock()
		mode, free := g.mode, g.free
		g.mu.Unlock()
		if mode == "" {
			return true
		}
		select {
		case <-free:
		case <-done:
			return false
		case <-ended:
			return false
		}
	}
}
