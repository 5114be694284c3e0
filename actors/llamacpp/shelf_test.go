package llamacpp

import (
	"fmt"
	"testing"

	"github.com/hybridgroup/yzma/pkg/llama"
	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
)

// The shelf never holds more than it has room for, counts what it holds, keeps what was put last, and
// finds nothing of another salt.
func TestShelfKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := shelf{room: 100}
		tokens := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) llama.Token { return llama.Token(rapid.IntRange(0, 1).Draw(t, "token")) }), 1, 6)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			salt := rapid.SampledFrom([]string{"", "a"}).Draw(t, "salt")
			prompt := append(tokens.Draw(t, "prompt"), 9)
			if s, n := h.best(prompt, salt, false); rapid.Bool().Draw(t, "take") && s != nil {
				if s.salt != salt || common(s.held, prompt) != n {
					t.Fatalf("found %+v for %v of %q", s, prompt, salt)
				}
				h.take(s)
			} else {
				put := &spare{held: tokens.Draw(t, "held"), salt: salt, data: make([]byte, rapid.IntRange(1, 100).Draw(t, "bytes"))}
				for _, gone := range h.put(put) {
					if gone == put {
						t.Fatal("what was put was dropped")
					}
				}
			}
			bytes := 0
			for _, s := range h.spares {
				bytes += len(s.data)
			}
			if bytes != h.bytes || bytes > h.room {
				t.Fatalf("%d bytes counted, %d held of %d", h.bytes, bytes, h.room)
			}
		}
	})
}

// More conversations than slots: each goes on where it was, with the answer of an engine that keeps nothing.
func TestConversationsOutliveTheirSlots(t *testing.T) {
	e, web := open(t, Config{Slots: 1, Context: 1024})
	_, forgetful := open(t, Config{Slots: 1, Context: 1024, CacheMiB: -1})
	topics := []string{"ships", "bread", "stars"}
	turn := func(url, topic string) (int, int, string) {
		return cachedOf(t, url, turns(lecture(topic), user("Say the alphabet.")))
	}
	for _, topic := range topics {
		turn(web.URL, topic)
	}
	until(t, "two are on the shelf", func() bool { l := e.Load(); return l.ShelfTokens > 200 && l.ShelfBytes > 0 })
	names := map[string]bool{}
	for _, m := range prefixesOf(t, web.URL, "", 0).Added {
		names[m.Name] = true
	}
	for i, topic := range topics {
		content, _ := lecture(topic)["content"].(string)
		if !names[prefix.Start(prefix.Chat, "").Message("system", content).Name()] {
			t.Errorf("%s is not announced", topic)
		}
		cached, prompt, text := turn(web.URL, topic)
		_, _, plain := turn(forgetful.URL, topic)
		if cached != prompt-1 || text != plain {
			t.Errorf("%d: %d of %d cached; %q, read anew %q", i, cached, prompt, text, plain)
		}
	}
	if cached, _, _ := turn(forgetful.URL, topics[0]); cached > 20 {
		t.Errorf("without a shelf %d tokens were cached", cached)
	}
	// what it holds and what it announces stay the same thing
	for i := range 12 {
		cachedOf(t, web.URL, turns(lecture(fmt.Sprint("topic ", i%5)), user("Hello")))
	}
	until(t, "the load is published", func() bool { return e.Load().Running == 0 })
	if held := len(prefixesOf(t, web.URL, "", 0).Added); held < 3*8 || held > 4*9 {
		t.Errorf("%d names of 8 conversations", held)
	}
}
