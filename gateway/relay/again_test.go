package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// restarts has the engines of every node start anew each time that a request waits for it.
func (b *bench) restarts(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		if b.table.Waiting() > 0 {
			b.tellState(wire.InstanceState_INSTANCE_STATE_RESTARTING)
			b.tell()
		}
	}
}

// TestTheOnlyEngineDies: the request waits for it to be started anew, and is tried once more, not twice.
func TestTheOnlyEngineDies(t *testing.T) {
	t.Parallel()
	died := play{err: &spec.Error{Code: spec.CodeUpstream, Message: "It died.", Err: errBroke}}
	for name, c := range map[string]struct {
		nodes  string
		stream bool
		plays  []play
		status int
		tried  string
	}{
		"before its head":   {"a", false, []play{died, says(200, answer)}, 200, "a a"},
		"in its answer":     {"a", false, []play{{status: 200, kind: "application/json", pieces: []any{"{", errBroke}}, says(200, answer)}, 200, "a a"},
		"before its stream": {"a", true, []play{died, streams(piece("x") + done)}, 200, "a a"},
		"in its stream":     {"a", true, []play{streams(errBroke), streams(piece("x") + done)}, 200, "a a"},
		"again":             {"a", false, []play{died, died, says(200, answer)}, 502, "a a"},
		"of many":           {"a b c", false, []play{died, says(200, answer)}, 200, "a b"},
	} {
		b := newBench(t, c.nodes)
		b.table.SetQueueTimeout(time.Minute)
		b.plays("a", c.plays...)
		b.plays("b", says(200, answer))
		stop, done := make(chan struct{}), make(chan struct{})
		go b.restarts(stop, done)
		res, body := b.get(c.stream)
		close(stop)
		<-done
		if res.StatusCode != c.status || b.tried() != c.tried {
			t.Errorf("%s: %d %s, tried %s", name, res.StatusCode, body, b.tried())
		}
	}
}

// TestTheOnlyEngineGoesOn: one that broke off and did not end is not asked again.
func TestTheOnlyEngineGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a")
	b.plays("a", play{err: errBroke}, says(200, answer))
	if res, body := b.get(false); res.StatusCode != 502 || b.tried() != "a" {
		t.Errorf("%d %s, tried %s", res.StatusCode, body, b.tried())
	}
}

// TestTheOnlyEngineDiesInAnAnswer: what was begun goes on at the next engine of the same instance, once.
func TestTheOnlyEngineDiesInAnAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plays []play
		end   string
		tried string
	}{
		"once":  {[]play{streams(piece("x"), errBroke), streams(piece("y") + stopped + done)}, "data: [DONE]\n\n", "a a"},
		"twice": {[]play{streams(piece("x"), errBroke), streams(piece("y"), errBroke), streams(piece("z") + done)}, "}\n\n", "a a"},
	} {
		b := newBench(t, "a")
		b.table.SetQueueTimeout(time.Minute)
		b.can = spec.AbleContinue
		b.tell()
		b.prepare = func(x *Exchange) {
			x.Call.Path, x.Body = "/v1/chat/completions", []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
		}
		b.plays("a", c.plays...)
		stop, done := make(chan struct{}), make(chan struct{})
		go b.restarts(stop, done)
		_, body := b.get(true)
		close(stop)
		<-done
		if !strings.HasSuffix(body, c.end) || strings.Count(body, ": resumed") != len(c.plays[:min(len(c.plays), 2)])-1 || b.tried() != c.tried {
			t.Errorf("%s: %s, tried %s", name, body, b.tried())
		}
	}
}
