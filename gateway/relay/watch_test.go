package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/leash"
)

// TestClientLeaves at every stage of its request: what was begun for it is ended.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	full := func(b *bench) { // every place is taken, until the end of the test
		for range 4 {
			res, err := b.ask(b.t.Context(), true)
			if err != nil {
				b.t.Fatal(err)
			}
			b.t.Cleanup(func() { res.Body.Close() })
		}
	}
	endless := streams(piece("x"), time.Hour)
	for name, c := range map[string]struct {
		before func(*bench)
		p      play
		stream bool
		opened int
	}{
		"in the queue":                    {full, endless, true, 4},
		"in the queue, not streamed":      {full, endless, false, 4},
		"while it is admitted":            {nil, play{hang: true}, true, 1},
		"before the first byte":           {nil, streams(time.Hour), true, 1},
		"before the answer":               {nil, play{status: 200, kind: "application/json", pieces: []any{"{", time.Hour}}, false, 1},
		"in the middle of a stream":       {nil, endless, true, 1},
		"inside an event":                 {nil, streams(piece("x")+"data: {", time.Hour), true, 1},
		"in the middle of what is passed": {nil, play{status: 200, kind: eventStream, pieces: []any{piece("x")}, loopLast: true}, true, 1},
	} {
		b := newBench(t, "a")
		b.table.SetQueueTimeout(time.Minute)
		b.plays("a", c.p)
		if c.before != nil {
			c.before(b)
		}
		ctx, leave := context.WithCancel(t.Context())
		var answered sync.WaitGroup
		answered.Go(func() {
			res, err := b.ask(ctx, c.stream)
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
		eventually(t, name+": under way", func() bool {
			return len(strings.Fields(b.tried())) == c.opened && (c.before == nil || b.table.Waiting() == 1)
		})
		time.Sleep(20 * time.Millisecond) // into the wait
		leave()
		answered.Wait()
		if o := b.outcome(); !o.Gone || o.Err != nil {
			t.Errorf("%s: outcome %+v", name, o)
		}
		if held := b.streamsOpen(); c.before == nil && held != 0 {
			t.Errorf("%s: %d streams are open", name, held)
		}
		if b.table.Waiting() != 0 || len(strings.Fields(b.tried())) != c.opened {
			t.Errorf("%s: %d wait, tried %s", name, b.table.Waiting(), b.tried())
		}
	}
}

// TestClientLeavesWithAll: who has read [DONE] and leaves has its whole answer,
// whatever the engine does until its last word.
func TestClientLeavesWithAll(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", streams(piece("x"), done, time.Hour))
	res, err := b.ask(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(res.Body)
	for nextLine(t, r) != "data: [DONE]" {
	}
	res.Body.Close()
	if o := b.outcome(); o.Gone || o.Err != nil {
		t.Errorf("outcome %+v", o)
	}
}

// TestPipelined: a request that was sent ahead is no sign that the client has left.
func TestPipelined(t *testing.T) {
	b := newBench(t, "a")
	b.plays("a", play{status: 200, kind: "application/json", pieces: []any{200 * time.Millisecond, "one"}}, says(200, "two"))
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	_, _ = io.WriteString(c, req+req)
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(c)
	for _, want := range []string{"one", "two"} {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
			t.Errorf("%q, %v, want %q", body, err, want)
		}
	}
}

func TestStalls(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	short := func(c *Config) { c.FirstByte, c.Between, c.Whole = limit, limit, limit }
	t.Run("before the first byte", func(t *testing.T) {
		for _, p := range []play{{hang: true}, streams(time.Hour)} {
			b := newBench(t, "a b", short)
			b.plays("a", p)
			b.plays("b", streams(piece("x"), done))
			if _, body := b.get(true); body != piece("x")+done || b.tried() != "a b" {
				t.Errorf("%q, tried %s", body, b.tried())
			}
		}
	})
	t.Run("by a limit that was changed", func(t *testing.T) {
		b := newBench(t, "a b", func(c *Config) { c.FirstByte, c.Between = time.Hour, time.Hour })
		b.relay.SetPatience(limit, limit)
		b.plays("a", play{hang: true})
		b.plays("b", streams(piece("x"), time.Hour))
		_, body := b.get(true)
		errorEvent(t, body, spec.CodeStreamBroken)
		if b.tried() != "a b" {
			t.Errorf("tried %s", b.tried())
		}
	})
	t.Run("not streamed", func(t *testing.T) {
		b := newBench(t, "a b", short)
		b.plays("a", play{status: 200, kind: "application/json", pieces: []any{"{", time.Hour}})
		b.plays("b", says(200, answer))
		if _, body := b.get(false); body != answer {
			t.Errorf("%q", body)
		}
	})
	t.Run("between two", func(t *testing.T) {
		b := newBench(t, "a b", short)
		b.plays("a", streams(piece("x"), time.Hour))
		began := time.Now()
		_, body := b.get(true)
		errorEvent(t, body, spec.CodeStreamBroken)
		if took := time.Since(began); took < limit || took > limit+20*time.Second {
			t.Errorf("took %v", took)
		}
		if o := b.outcome(); o.Err == nil || !errors.Is(o.Err, errStalled) || b.tried() != "a" {
			t.Errorf("outcome %+v, tried %s", o, b.tried())
		}
	})
	t.Run("all of them", func(t *testing.T) {
		b := newBench(t, "a b c d", short)
		for _, n := range b.nodes {
			b.plays(spec.NodeID(n), play{hang: true})
		}
		res, body := b.get(true)
		if res.StatusCode != 502 || !strings.Contains(body, errStalled.Error()) || b.tried() != "a b c" {
			t.Errorf("%d %s, tried %s", res.StatusCode, body, b.tried())
		}
	})
	t.Run("slow but steady", func(t *testing.T) {
		b := newBench(t, "a", func(c *Config) { c.FirstByte, c.Between = 2*time.Second, 2*time.Second })
		var pieces []any
		for range 12 { // longer in sum than the limit
			pieces = append(pieces, 200*time.Millisecond, piece("x"))
		}
		b.plays("a", streams(append(pieces, done)...))
		if _, body := b.get(true); body != strings.Repeat(piece("x"), 12)+done {
			t.Errorf("%q", body)
		}
	})
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p      play
		stream bool
		event  bool
	}{
		"while it is admitted":  {play{hang: true}, true, false},
		"before the first byte": {streams(time.Hour), true, false},
		"in a stream":           {streams(piece("x"), time.Hour), true, true},
		"in a busy stream":      {play{status: 200, kind: eventStream, pieces: []any{piece("x"), time.Millisecond, piece("x")}, loopLast: true}, true, true},
		"not streamed":          {play{status: 200, kind: "application/json", pieces: []any{"{", time.Hour}}, false, false},
	} {
		b := newBench(t, "a b c d e")
		for _, n := range b.nodes {
			b.plays(spec.NodeID(n), c.p)
		}
		began := time.Now()
		res, body := b.get(c.stream, "Deadline", "1s")
		if took := time.Since(began); took < 950*time.Millisecond || took > 30*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if c.event {
			errorEvent(t, body, spec.CodeDeadline)
		} else if res.StatusCode != 504 || !strings.Contains(body, string(spec.CodeDeadline)) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeDeadline || b.tried() != "a" {
			t.Errorf("%s: outcome %+v, tried %s", name, o, b.tried())
		}
	}
}

// TestNodeGone: a request on a node that has left the cluster is not left to
// wait for its time limit; one whose bytes still come is left alone.
func TestNodeGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a b")
	b.plays("a", streams(time.Hour))
	b.plays("b", streams(piece("x"), done))
	got := make(chan string, 1)
	go func() { _, body := b.get(true); got <- body }()
	eventually(t, "an attempt", func() bool { return b.tried() == "a" })
	b.table.NodeGone("a")
	if body := <-got; body != piece("x")+done {
		t.Errorf("%q", body)
	}

	b = newBench(t, "a")
	var pieces []any
	for range 20 {
		pieces = append(pieces, piece("x"), 30*time.Millisecond)
	}
	b.plays("a", streams(append(pieces, done)...))
	go func() { _, body := b.get(true); got <- body }()
	eventually(t, "an attempt", func() bool { return b.tried() == "a" })
	b.table.NodeGone("a")
	if body := <-got; body != strings.Repeat(piece("x"), 20)+done {
		t.Errorf("%q", body)
	}
	b.table.PutMember(memberOf("a"))
}

func TestAbort(t *testing.T) {
	for name, c := range map[string]struct {
		p      play
		stream bool
	}{
		"a stream":                  {streams(piece("x"), time.Hour), true},
		"a stream before its start": {streams(time.Hour), true},
		"not streamed":              {play{hang: true}, false},
	} {
		b := newBench(t, "a b")
		b.plays("a", c.p)
		type result struct {
			status int
			body   string
		}
		got := make(chan result, 1)
		go func() { res, body := b.get(c.stream); got <- result{res.StatusCode, body} }()
		eventually(t, "an attempt", func() bool { return b.tried() == "a" })
		time.Sleep(20 * time.Millisecond)
		b.relay.Abort()
		r := <-got
		if !strings.Contains(r.body, string(spec.CodeDraining)) || strings.Contains(r.body, "[DONE]") || (r.status != 200 && r.status != 503) {
			t.Errorf("%s: %d %q", name, r.status, r.body)
		}
		if o := b.outcome(); o.Err == nil || o.Err.Code != spec.CodeDraining || b.tried() != "a" {
			t.Errorf("%s: outcome %+v, tried %s", name, o, b.tried())
		}
		if res, body := b.get(c.stream); res.StatusCode != 503 || b.tried() != "a" {
			t.Errorf("%s: a later request got %d %q, tried %s", name, res.StatusCode, body, b.tried())
		}
	}
}

// TestTimeNotWatched: a process that was stopped, or starved, must not take the
// streams whose bytes it has not read yet for stalled.
func TestTimeNotWatched(t *testing.T) {
	w := newWatcher(func(spec.NodeID) bool { return true })
	var x watch
	w.add(&x, nil, time.Time{})
	var work leash.Leash
	work.Begin(t.Context(), time.Time{})
	if err := w.attempt(&x, &work); err != nil {
		t.Fatal(err)
	}
	w.expect(&x, "a", time.Second)
	pass := func(d time.Duration) { w.step(d); w.sweep(time.Now().UnixNano()) }
	pass(sweepEvery)
	pass(time.Hour)
	if work.Err() != nil {
		t.Fatal("ended after an hour in which nobody looked")
	}
	for range time.Second / sweepEvery {
		w.touch(&x)
		pass(sweepEvery)
	}
	if work.Err() != nil {
		t.Fatal("ended while bytes came")
	}
	for range time.Second/sweepEvery + 1 {
		pass(sweepEvery)
	}
	if !errors.Is(work.Cause(), errStalled) {
		t.Errorf("not ended after a second without a byte: %v", work.Cause())
	}
	w.remove(&x)
}

// TestManyAreWatchedInTurn: of many requests no sweep judges all, and each is judged
// in time; of few each is in every sweep.
func TestManyAreWatchedInTurn(t *testing.T) {
	for name, c := range map[string]struct{ n, sweeps int }{
		"few":  {watchShards * (fewWatched - 1), 1},
		"more": {watchShards * fewWatched, 2},
		"many": {watchShards * 20 * fewWatched, mostSweeps},
	} {
		w := newWatcher(func(spec.NodeID) bool { return true })
		now := time.Now()
		all := make([]watch, c.n)
		for i := range all {
			w.add(&all[i], nil, now.Add(time.Minute))
		}
		late := func() (n int) {
			for i := range all {
				if errors.Is(all[i].cause, errDeadline) {
					n++
				}
			}
			return n
		}
		for range youth + mostSweeps {
			w.sweep(now.UnixNano())
		}
		if n := late(); n > 0 {
			t.Fatalf("%s: %d ended before their time", name, n)
		}
		for sweep := range c.sweeps {
			w.sweep(now.Add(time.Hour).UnixNano())
			least, most := c.n*(sweep)/c.sweeps, c.n*(sweep+2)/c.sweeps
			if n := late(); n <= least || n > most {
				t.Errorf("%s: %d of %d ended after %d sweeps", name, n, c.n, sweep+1)
			}
		}
		if n := late(); n != c.n {
			t.Errorf("%s: %d of %d ended", name, n, c.n)
		}
		for i := range all {
			w.remove(&all[i])
		}
		for i := range w.shards {
			if s := &w.shards[i]; s.n != 0 || s.head.next != &s.head {
				t.Errorf("%s: a shard has %d left", name, s.n)
			}
		}
	}
}
