package guard

import (
	"testing"
	"time"
)

func TestMemory(t *testing.T) {
	now := time.Now()
	m := NewMemory(time.Minute, 2, func() time.Time { return now })
	expect := func(when string, want map[string]bool) {
		t.Helper()
		for thing, had := range want {
			if got := m.Has([]byte(thing)); got != had {
				t.Errorf("%s: %s: %v", when, thing, got)
			}
		}
	}
	m.Put([]byte("a"))
	now = now.Add(30 * time.Second)
	m.Put([]byte("b"))
	expect("both are new", map[string]bool{"a": true, "b": true, "c": false})
	now = now.Add(40 * time.Second)
	expect("a is old", map[string]bool{"a": false, "b": true})
	m.Put([]byte("a"))
	m.Put([]byte("c"))
	expect("there is room for two", map[string]bool{"a": true, "b": false, "c": true})
	if len(m.mu.of) != 2 || m.mu.recent.Len() != 2 {
		t.Errorf("%d and %d are held", len(m.mu.of), m.mu.recent.Len())
	}
}
