package answers

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const whole = `{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"hi"}}]}`

func ask(n uint64) *Request { return &Request{Key: keyOf(n), TTL: time.Hour, MaxBytes: 1 << 20} }

func newCache() *Cache { return New(Config{Bytes: 1 << 20}) }

// lands answers the flight with body in two pieces.
func lands(f *Flight, body string) {
	f.Open(200, "application/json", spec.Load{Slots: 3}, true)
	_, _ = io.WriteString(f, body[:len(body)/2])
	_, _ = io.WriteString(f, body[len(body)/2:])
	f.Land(spec.Load{Slots: 4}, true)
}

func mustRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
}

// TestRequestsShareOneAnswer: those that come while it is under way join it from its
// beginning, and those that come later get it as it was.
func TestRequestsShareOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		lead := c.Ask(ask(1))
		if lead.Flight == nil || lead.Reader == nil {
			t.Fatalf("the first found %+v", lead)
		}
		joined := make([]Found, 50)
		for i := range joined {
			if joined[i] = c.Ask(ask(1)); joined[i].Reader == nil || joined[i].Flight != nil {
				t.Fatalf("request %d found %+v", i, joined[i])
			}
		}
		for i := range joined {
			go func() {
				if err := joined[i].Reader.Opened(t.Context()); err != nil {
					t.Error(err)
				}
				mustRead(t, joined[i].Reader, whole)
				if how, _ := joined[i].Reader.Cached(); how != spec.CacheJoined {
					t.Errorf("it was %s", how)
				}
				if _, ok := joined[i].Reader.Load(); ok {
					t.Error("one that joined tells a load")
				}
			}()
		}
		synctest.Wait()
		lands(lead.Flight, whole)
		mustRead(t, lead.Reader, whole)
		if l, ok := lead.Reader.Load(); !ok || l.Slots != 4 {
			t.Errorf("load %+v, %v", l, ok)
		}
		synctest.Wait()
		time.Sleep(90 * time.Second)
		hit := c.Ask(ask(1))
		if hit.Answer == nil || hit.Age != 90*time.Second {
			t.Fatalf("later it found %+v", hit)
		}
		mustRead(t, hit.Replay(), whole)
		if s := c.Stats()[0]; s.Hits != 1 || s.Misses != 1 || s.Joined != 50 || s.Entries != 1 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(time.Hour)
		if c.Expire(); len(c.mu.shelves["d"].by) > 0 {
			t.Error("it outlives its time")
		}
	})
}

// TestWhoLeavesCancelsNobody: the flight goes on for who is left, and ends with the last.
func TestWhoLeavesCancelsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		lead := c.Ask(ask(1))
		work := lead.Flight.Context(t.Context())
		ctx, leave := context.WithCancel(t.Context())
		opened := make(chan error, 1)
		go func() { opened <- lead.Reader.Opened(ctx) }()
		joined := c.Ask(ask(1))
		leave()
		if err := <-opened; !errors.Is(err, context.Canceled) || work.Err() != nil {
			t.Fatalf("the first left with %v; the work: %v", err, work.Err())
		}
		_ = joined.Reader.Close()
		if !errors.Is(context.Cause(work), ErrLeft) {
			t.Fatalf("nobody is left, and the work ends with %v", context.Cause(work))
		}
		again := c.Ask(ask(1))
		if again.Flight == nil {
			t.Fatal("one that comes then joins what was given up")
		}
		if _, err := io.WriteString(lead.Flight, "x"); !errors.Is(err, ErrLeft) {
			t.Errorf("write: %v", err)
		}
		lead.Flight.Fail(ErrLeft)
		lands(again.Flight, whole)
		mustRead(t, again.Reader, whole)
		if c.Ask(ask(1)).Answer == nil {
			t.Error("the second flight's answer is not kept")
		}
	})
}

// TestAFailureIsEverybodys: what came before it is read, and nothing is kept.
func TestAFailureIsEverybodys(t *testing.T) {
	c := newCache()
	lead, joined := c.Ask(ask(1)), c.Ask(ask(1))
	lead.Flight.Open(200, "text/event-stream", spec.Load{}, false)
	_, _ = io.WriteString(lead.Flight, "data: {}\n\n")
	lead.Flight.Fail(spec.ErrBroken)
	for _, f := range []Found{lead, joined} {
		if err := f.Reader.Opened(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f.Reader); string(got) != "data: {}\n\n" || !errors.Is(err, spec.ErrBroken) {
			t.Errorf("read %q, %v", got, err)
		}
	}
	before, after := c.Ask(ask(2)), c.Ask(ask(2))
	refusal := &spec.Rejection{Reason: spec.RejectBusy}
	before.Flight.Fail(refusal)
	if err := after.Reader.Opened(t.Context()); err != refusal { //nolint:errorlint // the very same
		t.Errorf("opened: %v", err)
	}
	if c.Ask(ask(1)).Flight == nil || c.Ask(ask(2)).Flight == nil {
		t.Error("a failure was kept")
	}
}

func TestWhatIsAskedAnew(t *testing.T) {
	c := newCache()
	first := c.Ask(ask(1))
	lands(first.Flight, whole)
	r := ask(1)
	r.Fresh = true
	fresh, second := c.Ask(r), c.Ask(ask(1))
	if fresh.Flight == nil || second.Answer == nil {
		t.Fatalf("fresh found %+v, another %+v", fresh, second)
	}
	other := strings.Replace(whole, "hi", "ho", 1)
	lands(fresh.Flight, other)
	mustRead(t, new(Found{Answer: c.Ask(ask(1)).Answer}).Replay(), other)

	// A purge reaches what is under way too.
	under := c.Ask(ask(2))
	if n := c.Purge(Match{Tenant: "acme"}); n != 1 {
		t.Errorf("%d were purged", n)
	}
	if after := c.Ask(ask(2)); after.Flight == nil {
		t.Error("one that comes after a purge joins what was begun before")
	} else {
		after.Flight.Fail(spec.ErrBroken)
	}
	lands(under.Flight, whole)
	if c.Ask(ask(2)).Answer != nil {
		t.Error("what was purged under way is kept")
	}

	only := ask(3)
	only.Only = true
	if f := c.Ask(only); f.Answer != nil || f.Reader != nil || f.Flight != nil {
		t.Errorf("one that may begin nothing found %+v", f)
	}
}

func TestPurgesByWhatTheySay(t *testing.T) {
	c := newCache()
	fill := func() {
		for _, tenant := range []string{"acme", "brick"} {
			for _, d := range []string{"d", "e"} {
				for n := range uint64(2) {
					r := ask(n)
					r.Key.Tenant, r.Key.Deployment, r.Fresh = tenant, d, true
					lands(c.Ask(r).Flight, whole)
				}
			}
		}
	}
	sum := keyOf(1).Sum
	for _, m := range []struct {
		Match
		n int
	}{{Match{}, 8}, {Match{Tenant: "acme"}, 4}, {Match{Deployment: "e"}, 4}, {Match{Tenant: "brick", Deployment: "d"}, 2}, {Match{Sum: &sum}, 4}, {Match{Tenant: "nobody"}, 0}} {
		fill()
		if got := c.Purge(m.Match); got != m.n {
			t.Errorf("%+v purged %d of 8, want %d", m.Match, got, m.n)
		}
	}
	fill()
	c.Serves("d", 2)
	c.Serves("e")
	if s := c.Stats(); len(s) != 1 || s[0].Entries != 0 {
		t.Errorf("another version, and none: %+v", s)
	}
}

// TestALongAnswerIsNotHeld: it goes on at the pace of the slowest, and is not kept.
func TestALongAnswerIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Bytes: 1 << 30})
		r := ask(1)
		r.MaxBytes = 1 << 30
		lead, joined := c.Ask(r), c.Ask(r)
		piece := strings.Repeat("x", 1<<20)
		written := 0
		go func() {
			lead.Flight.Open(200, "application/json", spec.Load{}, false)
			for range 10 {
				_, _ = io.WriteString(lead.Flight, piece)
				written++
			}
			lead.Flight.Land(spec.Load{}, false)
		}()
		go func() { _, _ = io.Copy(io.Discard, lead.Reader) }()
		synctest.Wait()
		if written != maxHeld>>20 {
			t.Fatalf("%d MiB were written to one who reads none", written)
		}
		if got, err := io.ReadAll(joined.Reader); err != nil || len(got) != 10<<20 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		synctest.Wait()
		if c.Ask(r).Answer != nil {
			t.Error("it is kept")
		}
	})
}

func TestAClosedCacheKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		lead := c.Ask(ask(1))
		closed := false
		go func() { c.Close(); closed = true }()
		if synctest.Wait(); closed {
			t.Error("it does not wait for what is under way")
		}
		lands(lead.Flight, whole)
		if synctest.Wait(); !closed {
			t.Error("it waits for more")
		}
		mustRead(t, lead.Reader, whole)
		if f := c.Ask(ask(1)); f.Answer != nil || f.Flight != nil {
			t.Errorf("it has %+v", f)
		}
	})
}

// TestATenantsPurgeFindsWhatIsShared: an answer that is for all goes with the tenant whose
// request it was made for, kept or under way.
func TestATenantsPurgeFindsWhatIsShared(t *testing.T) {
	c := newCache()
	shared := func(n uint64, by string) *Request {
		r := ask(n)
		r.Key.Tenant, r.By = "", by
		return r
	}
	lands(c.Ask(shared(1, "acme")).Flight, whole)
	lands(c.Ask(shared(2, "brick")).Flight, whole)
	if c.Ask(shared(1, "brick")).Answer == nil {
		t.Fatal("it is not shared")
	}
	under := c.Ask(shared(3, "acme"))
	if n := c.Purge(Match{Tenant: "acme"}); n != 1 {
		t.Errorf("%d were purged", n)
	}
	lands(under.Flight, whole)
	if a, b, u := c.Ask(shared(1, "brick")), c.Ask(shared(2, "acme")), c.Ask(shared(3, "brick")); a.Flight == nil || b.Answer == nil || u.Flight == nil {
		t.Errorf("acme's is there: %v; brick's: %v; acme's under way: %v", a.Answer != nil, b.Answer != nil, u.Answer != nil)
	}
}

// TestWhatKeepsNoAnswersKeepsNone: also for a gateway that has not heard of it, until the
// deployment keeps answers again.
func TestWhatKeepsNoAnswersKeepsNone(t *testing.T) {
	c := newCache()
	under := c.Ask(ask(1))
	c.Serves("d")
	lands(under.Flight, whole)
	late, beside := c.Ask(ask(1)), c.Ask(ask(1))
	if late.Flight == nil || beside.Flight == nil {
		t.Fatalf("one that comes late found %+v and %+v", late, beside)
	}
	lands(late.Flight, whole)
	lands(beside.Flight, whole)
	mustRead(t, late.Reader, whole)
	if s := c.Stats(); len(s) != 0 || c.mu.total.bytes != 0 || len(c.mu.flights) != 0 {
		t.Errorf("it has %+v", s)
	}
	c.Serves("d", 2)
	r := ask(1)
	r.Key.Version = 2
	lands(c.Ask(r).Flight, whole)
	if c.Ask(r).Answer == nil {
		t.Error("it keeps nothing again")
	}
	for n := range manyGone + 10 {
		c.Serves(strings.Repeat("x", n%7) + string(rune(n+1000)))
	}
	if len(c.mu.gone) > manyGone {
		t.Errorf("%d are remembered", len(c.mu.gone))
	}
}

// TestTwoVersionsKeepTheirAnswers as long as both are in force, and one alone where the other is given up.
func TestTwoVersionsKeepTheirAnswers(t *testing.T) {
	c := newCache()
	of := func(version, n uint64) *Request {
		r := ask(n)
		r.Key.Version = version
		return r
	}
	kept := func(version, n uint64) bool { r := of(version, n); r.Only = true; return c.Ask(r).Answer != nil }
	made := func(version, n uint64) {
		t.Helper()
		f := c.Ask(of(version, n))
		if f.Flight == nil {
			t.Fatalf("answer %d of version %d is there already", n, version)
		}
		lands(f.Flight, whole)
	}
	want := func(what string, first, second bool) {
		t.Helper()
		if a, b := kept(1, 1), kept(2, 2); a != first || b != second {
			t.Fatalf("%s: version 1 %v, version 2 %v", what, a, b)
		}
	}
	c.Serves("d", 1, 2)
	made(1, 1)
	made(2, 2)
	want("both serve", true, true)
	made(1, 3)
	if !kept(1, 3) {
		t.Fatal("the older one's are not kept any more")
	}
	late := c.Ask(of(2, 6))
	c.Serves("d", 1)
	want("the canary was given up", true, false)
	lands(late.Flight, whole)
	made(2, 7) // by a gateway that has not heard of it
	want("what it answers late changes nothing", true, false)
	if kept(2, 6) || kept(2, 7) {
		t.Fatal("what was given up is kept")
	}
	made(1, 4)
	if !kept(1, 4) {
		t.Fatal("what is in force is not kept after a newer version was")
	}
	c.Serves("d", 1, 3)
	made(3, 2)
	c.Serves("d", 3, 4)
	c.Serves("d", 3)
	if !kept(3, 2) {
		t.Fatal("another canary's end has taken an answer")
	}
	c.Serves("d", 2)
	made(2, 2)
	want("one is promoted that is older than the deployment's", false, true)
	made(1, 5) // by a gateway that has not heard of it
	if kept(1, 5) {
		t.Fatal("an older version's are kept")
	}
}
