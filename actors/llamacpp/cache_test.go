package llamacpp

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/actors/llamacpp/prefix"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

// lecture is a long system prompt; different topics have little in common.
func lecture(topic string) fields {
	return fields{"role": "system", "content": "You know " + topic + ". " + strings.Repeat("Answer what is asked of "+topic+", and no more. ", 12)}
}

func turns(messages ...fields) fields {
	return fields{"temperature": 0, "max_tokens": 12, "messages": messages}
}

func user(text string) fields      { return fields{"role": "user", "content": text} }
func assistant(text string) fields { return fields{"role": "assistant", "content": text} }

func with(body fields, more fields) fields {
	for k, v := range more {
		body[k] = v
	}
	return body
}

func cachedOf(t *testing.T, url string, body fields) (cached, prompt int, text string) {
	t.Helper()
	status, r := ask(t, url, "/v1/chat/completions", body)
	if status != 200 || r.Usage == nil {
		t.Fatalf("%d: %+v", status, r.Error)
	}
	return r.Usage.Details.Cached, r.Usage.Prompt, r.text()
}

func TestBeginningsAreReused(t *testing.T) {
	_, web := open(t, Config{Slots: 2, Context: 1024})
	_, fresh := open(t, Config{Slots: 1, Context: 1024})
	first := func() fields { return turns(lecture("ships"), user("Say the alphabet.")) }
	if cached, _, _ := cachedOf(t, web.URL, first()); cached != 0 {
		t.Errorf("%d tokens of the very first prompt were cached", cached)
	}
	cached, prompt, text := cachedOf(t, web.URL, first())
	if cached != prompt-1 {
		t.Errorf("the same again: %d of %d cached", cached, prompt)
	}
	next := func() fields {
		return turns(lecture("ships"), user("Say the alphabet."), assistant(text), user("Count from 1 to 20."))
	}
	cached, longer, answer := cachedOf(t, web.URL, next())
	if cached < prompt || cached >= longer {
		t.Errorf("the next turn: %d of %d cached, the turn before had %d", cached, longer, prompt)
	}
	if _, _, plain := cachedOf(t, fresh.URL, next()); plain != answer {
		t.Errorf("with the cache %q, without %q", answer, plain)
	}
	if cached, _, _ := cachedOf(t, web.URL, turns(lecture("bread"), user("Say the alphabet."))); cached > 20 {
		t.Errorf("%d tokens of another prompt were cached", cached)
	}
}

func TestSaltsDoNotMeet(t *testing.T) {
	_, web := open(t, Config{Slots: 2, Context: 1024})
	body := func() fields { return turns(lecture("ships"), user("Hello")) }
	send := func(header, field string) int {
		b := body()
		if field != "" {
			b["cache_salt"] = field
		}
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/v1/chat/completions", strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(cacheSalt, header)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var out reply
		if err := json.NewDecoder(response.Body).Decode(&out); err != nil || out.Usage == nil {
			t.Fatalf("%v: %+v", err, out.Error)
		}
		return out.Usage.Details.Cached
	}
	for i, c := range []struct {
		header, field string
		reused        bool
	}{
		{"", "", false}, {"", "", true}, {"a", "", false}, {"", "a", true}, {"a", "b", true}, {"b", "a", false}, {"a", "", true}, {"", "", true}, {"c", "", false},
	} {
		if cached := send(c.header, c.field); (cached > 0) != c.reused {
			t.Errorf("request %d, header %q, field %q: %d tokens cached", i, c.header, c.field, cached)
		}
	}
}

// A beginning that a running request holds is copied, not read again; one that is just being read is
// waited for.
func TestTogetherTheBeginningIsReadOnce(t *testing.T) {
	e, web := open(t, Config{Slots: 4, Context: 1024})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running, err := post(ctx, web.URL, "/v1/chat/completions", with(turns(lecture("ships"), user("Count from 1 to 150.")), fields{"stream": true, "max_tokens": 700}))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Body.Close()
	if cached, prompt, _ := cachedOf(t, web.URL, turns(lecture("ships"), user("Hello"))); cached < prompt/2 {
		t.Errorf("beside a running request %d of %d cached", cached, prompt)
	}
	until(t, "the other request's slot is free, and the running one's is not", func() bool { return e.Load().Running == 1 })
	cancel()
	until(t, "the slots are free", func() bool { return e.Load().Running == 0 })
	before := e.Load().Totals
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			ask(t, web.URL, "/v1/chat/completions", turns(lecture("bread"), user("Say "+strconv.Itoa(i))))
		})
	}
	wait.Wait()
	after := e.Load().Totals
	if read, all := (after.Prompt-after.Cached)-(before.Prompt-before.Cached), after.Prompt-before.Prompt; read > all/2 {
		t.Errorf("four with one beginning: %d of %d tokens were read", read, all)
	}
}

func prefixesOf(t *testing.T, url, epoch string, since uint64) (c prefix.Changes) {
	t.Helper()
	r, err := http.Get(url + "/prefixes?epoch=" + epoch + "&since=" + strconv.FormatUint(since, 10))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// What is announced is what a request then finds, within a token or two, and it goes when it is overwritten.
func TestAnnouncedIsFound(t *testing.T) {
	e, web := open(t, Config{Slots: 1, Context: 1024, CacheMiB: -1})
	chain := func(messages ...fields) prefix.Chain {
		c := prefix.Start(prefix.Chat, "s")
		for _, m := range messages {
			c = c.Message(m["role"].(string), m["content"].(string))
		}
		return c
	}
	salted := func(messages ...fields) fields { return with(turns(messages...), fields{"cache_salt": "s"}) }
	empty := prefixesOf(t, web.URL, "", 0)
	if !empty.Reset || len(empty.Added) != 0 {
		t.Errorf("at first %+v", empty)
	}
	system, hello := lecture("ships"), user("Say the alphabet.")
	_, prompt, text := cachedOf(t, web.URL, salted(system, hello))
	until(t, "the answer is announced", func() bool { return len(prefixesOf(t, web.URL, empty.Epoch, empty.Seq).Added) == 3 })
	held := prefixesOf(t, web.URL, empty.Epoch, empty.Seq)
	tokens := map[string]int{}
	for _, m := range held.Added {
		tokens[m.Name] = m.Tokens
	}
	afterSystem, afterUser := tokens[chain(system).Name()], tokens[chain(system, hello).Name()]
	afterAnswer := tokens[chain(system, hello, assistant(text)).Name()]
	if held.Reset || afterSystem == 0 || afterUser <= afterSystem || afterUser > prompt || afterAnswer < prompt {
		t.Fatalf("%+v: %d, %d, %d; the prompt has %d", held, afterSystem, afterUser, afterAnswer, prompt)
	}
	if cached, _, _ := cachedOf(t, web.URL, salted(system, hello, assistant(text), user("And?"))); cached < afterAnswer-2 || cached > afterAnswer+2 {
		t.Errorf("announced %d tokens with the answer, found %d", afterAnswer, cached)
	}
	if cached, _, _ := cachedOf(t, web.URL, salted(system, user("Hello"))); cached < afterSystem || cached > afterSystem+12 {
		t.Errorf("announced %d tokens of the system's message, found %d", afterSystem, cached)
	}
	cachedOf(t, web.URL, turns(lecture("bread"), hello))
	until(t, "the old names are gone", func() bool {
		c := prefixesOf(t, web.URL, held.Epoch, held.Seq)
		gone := 0
		for _, name := range c.Removed {
			if tokens[name] > 0 {
				gone++
			}
		}
		return gone == 3 && len(c.Added) == 3
	})
	if e.Load().CachedTokens == 0 || e.Load().KVUse != 0 {
		t.Errorf("idle, the load is %+v", e.Load())
	}
}

func TestBlocksOfPromptsAreAnnounced(t *testing.T) {
	_, web := open(t, Config{Slots: 2, Context: 1024})
	text := strings.Repeat("Once upon a time there was a cluster. ", 20)
	ask(t, web.URL, "/v1/completions", fields{"prompt": text, "max_tokens": 1})
	numbers := make([]int32, 150)
	for i := range numbers {
		numbers[i] = int32(300 + i%50)
	}
	ask(t, web.URL, "/v1/completions", fields{"prompt": numbers, "max_tokens": 1})
	names := map[string]int{}
	for _, m := range prefixesOf(t, web.URL, "", 0).Added {
		names[m.Name] = m.Tokens
	}
	blocks := prefix.Start(prefix.Text, "").Block([]byte(text[:256])).Block([]byte(text[256:512]))
	if n := names[prefix.Start(prefix.Tokens, "").TokenBlock(numbers[:64]).TokenBlock(numbers[64:128]).Name()]; n != 128 {
		t.Errorf("the second block of tokens ends at %d", n)
	}
	if n := names[blocks.Name()]; n < 50 || n > 256 || len(names) != 4 {
		t.Errorf("two blocks of text have %d tokens; %v", n, names)
	}
}

// A prompt is counted while it waits, and as it is read. Many answers keep the slot busy meanwhile.
func TestBacklogIsExact(t *testing.T) {
	e, web := open(t, Config{Slots: 1, Context: 1024})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, err := post(ctx, web.URL, "/v1/completions", fields{"prompt": make([]int, 10), "n": 16, "max_tokens": 1000, "stream": true, "temperature": 2})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	until(t, "the first prompt is read", func() bool { // a step's load is told just after its text
		l := e.Load()
		return l.Running == 1 && l.BacklogTokens == 10*l.Queued && l.KVTokens > 10 && l.KVCapacity == 1024
	})
	waiting, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		if r, err := post(waiting, web.URL, "/v1/completions", fields{"prompt": make([]int, 700)}); err == nil {
			r.Body.Close()
		}
	})
	until(t, "700 tokens more wait", func() bool { l := e.Load(); return l.Queued > 0 && l.BacklogTokens == 700+10*(l.Queued-1) })
	stop()
	wait.Wait()
	cancel()
	until(t, "nobody waits", func() bool { l := e.Load(); return l.BacklogTokens == 0 && l.Running == 0 })
}
