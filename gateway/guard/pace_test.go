package guard

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	c := newClock()
	p := NewPace(2, c.now)
	for i := range 200 {
		if wait := p.Take("a", 600); wait != 0 {
			t.Fatalf("the %d. waits %v", i+1, wait)
		}
	}
	if wait := p.Take("a", 600); wait != 100*time.Millisecond {
		t.Errorf("after the burst: %v", wait)
	}
	if wait := p.Take("b", 600); wait != 0 {
		t.Errorf("another waits %v", wait)
	}
	c.pass(time.Second)
	for i := range 11 {
		if wait := p.Take("a", 600); (wait > 0) != (i == 10) {
			t.Errorf("a second later, the %d.: %v", i+1, wait)
		}
	}
	p.Take("b", 600)
	p.Take("c", 600)
	if len(p.mu.of) != 2 || p.mu.of["a"] != nil || p.mu.recent.Len() != 2 {
		t.Errorf("held: %v", p.mu.of)
	}
	if wait := p.Take("one", 1); wait != 0 {
		t.Errorf("one a minute, the first: %v", wait)
	}
	if wait := p.Take("one", 1); wait != time.Minute {
		t.Errorf("one a minute, the second: %v", wait)
	}
}
