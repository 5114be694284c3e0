package llamacpp

import "testing"

// TestCanariesTakeNothingAway: what is held for the next request stays, and answers
// are what they were.
func TestCanariesTakeNothingAway(t *testing.T) {
	e, web := open(t, Config{Slots: 1})
	const alphabet = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"
	for range 3 {
		if status, r := ask(t, web.URL, "/v1/chat/completions", question("Say the alphabet.", nil)); status != 200 || r.text() != alphabet {
			t.Fatalf("%d %+v", status, r)
		}
		until(t, "the slot is free", func() bool { return e.Load().Running == 0 })
		held := e.Load().CachedTokens
		for range 5 {
			if status, _ := ask(t, web.URL, "/canary", map[string]any{}); status != 200 {
				t.Fatalf("a canary was answered %d", status)
			}
		}
		if l := e.Load(); held == 0 || l.CachedTokens != held {
			t.Errorf("of %d tokens held, %d are left", held, l.CachedTokens)
		}
	}
	if l := e.Load(); l.Totals.Cached == 0 {
		t.Error("nothing was found in the cache")
	}
}

// TestCanaryBesideAnAnswer: it is answered, and disturbs nothing.
func TestCanaryBesideAnAnswer(t *testing.T) {
	e, web := open(t, Config{Slots: 1})
	begin(t, t.Context(), web.URL)
	if err := e.Canary(t.Context()); err != nil {
		t.Error(err)
	}
}
