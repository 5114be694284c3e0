package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{time.Unix(1_800_000_000, 0)} }

func TestHeldBackLongerAndLonger(t *testing.T) {
	c := newClock()
	g := New(Limits{}, c.now)
	for i := range 10 {
		if held := g.Failed("a", "b"); held != 0 || g.Held("a", "b") != 0 {
			t.Fatalf("attempt %d is held back for %v", i, held)
		}
	}
	for _, seconds := range []int{6, 12, 24, 48, 60, 60} {
		want := time.Duration(seconds) * time.Second
		if held := g.Failed("a"); held != 0 {
			t.Fatalf("an attempt after the penalty is held back for %v", held)
		}
		if held := g.Held("other", "a"); held != want {
			t.Fatalf("held back for %v, want %v", held, want)
		}
		c.pass(time.Second)
		if held := g.Failed("a"); held != want-time.Second || g.Held("b") != 0 {
			t.Errorf("an attempt that should not come is answered with %v", held)
		}
		c.pass(want - time.Second)
	}
	c.pass(7 * time.Second)
	if g.Failed("a"); g.Held("a") != 0 {
		t.Error("an attempt per 6 s is not free")
	}
	c.pass(time.Hour)
	for range 11 {
		g.Failed("a")
	}
	if held := g.Held("a"); held != 6*time.Second {
		t.Errorf("after a quiet hour the first penalty is %v", held)
	}
}

func TestTheOldestIsForgotten(t *testing.T) {
	c := newClock()
	g := New(Limits{Burst: 1, Held: 3}, c.now)
	for _, s := range []string{"a", "a", "b", "b", "c", "c"} {
		g.Failed(s)
	}
	c.pass(10 * time.Second) // one more is free
	g.Failed("a")
	g.Failed("d")
	if len(g.mu.bySubject) != 3 || g.mu.recent.Len() != 3 || g.mu.bySubject["b"] != nil || g.mu.bySubject["a"] == nil {
		t.Errorf("%d are remembered: %v", len(g.mu.bySubject), g.mu.bySubject)
	}
}

// TestNoOneTriesOften: whatever the pattern, attempts that are counted are no
// more than the burst and one per Every.
func TestNoOneTriesOften(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		l := Limits{Burst: 4, Every: time.Second, Most: 8 * time.Second}
		g := New(l, c.now)
		began, counted := c.at, 0
		for range rapid.IntRange(1, 200).Draw(t, "attempts") {
			c.pass(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond)
			if g.Failed("s") == 0 {
				counted++
			}
			// One for each penalty that was waited out: none is shorter than Every.
			if most := l.Burst + 1 + int(c.at.Sub(began)/l.Every); counted > most {
				t.Fatalf("%d attempts in %v", counted, c.at.Sub(began))
			}
			if held := g.Held("s"); held > l.Most {
				t.Fatalf("held back for %v", held)
			}
		}
		c.pass(l.Most)
		if g.Held("s") != 0 {
			t.Fatal("held back for ever")
		}
	})
}

func TestAddress(t *testing.T) {
	for _, s := range []struct{ a, b string }{
		{"192.0.2.1", "192.0.2.1"}, {"192.0.2.1", "::ffff:192.0.2.1"}, {"2001:db8::1", "2001:db8::ffff:1"}, {"fe80::1%eth0", "fe80::2"}} {
		if Address(netip.MustParseAddr(s.a)) != Address(netip.MustParseAddr(s.b)) {
			t.Errorf("%v", s)
		}
	}
	if a, b := Address(netip.MustParseAddr("192.0.2.1")), Address(netip.MustParseAddr("192.0.2.2")); a == b {
		t.Errorf("%s", a)
	}
	if a, b := Address(netip.MustParseAddr("2001:db8:0:1::1")), Address(netip.MustParseAddr("2001:db8:0:2::1")); a == b {
		t.Errorf("%s", a)
	}
}

func TestNotesAreFew(t *testing.T) {
	c := newClock()
	n := NewNotes(c.now)
	e := Event{From: "192.0.2.1", Action: "auth.failed", Outcome: "invalid_api_key"}
	for range 5 {
		n.Add(e)
	}
	if due := n.Due(); len(due) != 1 || due[0] != (Note{e, 5}) {
		t.Fatalf("%v", due)
	}
	n.Add(e)
	if due := n.Due(); len(due) != 0 {
		t.Errorf("told again within a minute: %v", due)
	}
	c.pass(notesEach)
	due := n.Due()
	if len(due) != 1 || due[0].Count != 1 {
		t.Errorf("%v", due)
	}
	n.Add(e)
	n.Back(due)
	if due := n.Due(); len(due) != 1 || due[0].Count != 2 {
		t.Errorf("what could not be told: %v", due)
	}
	c.pass(notesEach)
	if due := n.Due(); len(due) != 0 || len(n.mu.open) != 0 {
		t.Errorf("%v, %d are held for ever", due, len(n.mu.open))
	}
}

func TestNotesAreBounded(t *testing.T) {
	c := newClock()
	n := NewNotes(c.now)
	total := notesHeld + 500
	for i := range total {
		n.Add(Event{From: fmt.Sprint(i), Action: "auth.failed"})
	}
	if len(n.mu.open) > notesHeld+1 {
		t.Errorf("%d events are held", len(n.mu.open))
	}
	told, lines := 0, 0
	for minute := range notesHeld/notesMost + 5 {
		due := n.Due()
		if minute == 0 && due[0].Count != 500 {
			t.Errorf("what cannot be told apart counts %d", due[0].Count)
		}
		if len(due) > notesMost || len(n.Due()) != 0 {
			t.Fatalf("%d lines in a minute", len(due))
		}
		for _, d := range due {
			told += int(d.Count)
			lines++
		}
		c.pass(notesEach)
	}
	if told != total || len(n.mu.open) != 0 {
		t.Errorf("%d of %d are told in %d lines, %d are left", told, total, lines, len(n.mu.open))
	}
}
