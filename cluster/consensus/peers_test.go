package consensus

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// TestConfirmedGoesByWhenItWasAsked: an answer counts from when its message was
// sent, in its term only, and a later answer to an older message takes nothing back.
func TestConfirmedGoesByWhenItWasAsked(t *testing.T) {
	p := newPeers(nil)
	base := time.Now()
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	three := []raft.ServerID{"a", "b", "c"}
	if got := p.confirmed("a", three, 1, at(9)); !got.IsZero() {
		t.Errorf("nobody has answered, and yet: %s", got)
	}
	p.note("b", ack{term: 1, sent: at(3)})
	p.note("b", ack{term: 1, sent: at(2)})
	if got := p.confirmed("a", three, 1, at(9)); !got.Equal(at(3)) {
		t.Errorf("one of two others: %s, want %s", got, at(3))
	}
	if got := p.confirmed("a", []raft.ServerID{"a", "b", "c", "d"}, 1, at(9)); !got.IsZero() {
		t.Errorf("one of three others is no quorum with the leader: %s", got)
	}
	p.note("c", ack{term: 1, sent: at(5)})
	if got := p.confirmed("a", []raft.ServerID{"a", "b", "c", "d"}, 1, at(9)); !got.Equal(at(3)) {
		t.Errorf("two of three others: %s, want the older", got)
	}
	if got := p.confirmed("x", three, 1, at(9)); !got.Equal(at(3)) {
		t.Errorf("a leader without a vote needs two of three: %s", got)
	}
	if got := p.confirmed("a", three, 2, at(9)); !got.IsZero() {
		t.Errorf("answers of another term count: %s", got)
	}
	if got := p.confirmed("a", []raft.ServerID{"a"}, 1, at(9)); !got.Equal(at(9)) {
		t.Errorf("alone: %s", got)
	}
}

// TestFailedReplicationIsHeld until a message sent after the failure is answered,
// the term is over, or the transport ends.
func TestFailedReplicationIsHeld(t *testing.T) {
	for name, release := range map[string]func(*peers, *atomic.Bool){
		"answered":        func(p *peers, _ *atomic.Bool) { p.note("b", ack{term: 1, sent: time.Now()}) },
		"term over":       func(_ *peers, leads *atomic.Bool) { leads.Store(false) },
		"transport ended": func(p *peers, _ *atomic.Bool) { p.release() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, done := newPeers(nil), false
				var leads atomic.Bool
				leads.Store(true)
				p.mu.changed = make(chan struct{})
				p.replicates = func(term uint64, id raft.ServerID) bool { return leads.Load() && term == 1 && id == "b" }
				failed := time.Now()
				go func() { p.await("b", 1, failed); done = true }()
				time.Sleep(time.Minute)
				p.note("b", ack{term: 1, sent: failed.Add(-time.Second)}) // an answer from before
				p.note("c", ack{term: 1, sent: time.Now()})               // somebody else
				synctest.Wait()
				if done {
					t.Fatal("not held")
				}
				release(p, &leads)
				time.Sleep(time.Second)
				synctest.Wait()
				if !done {
					t.Error("held for ever")
				}
			})
		})
	}
}

func TestRaftLinesReachSlog(t *testing.T) {
	var out bytes.Buffer
	l := newRaftLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	l.Named("net").With("peer", "n2").Error("disk full", "servers", hclog.Fmt("%d of %d", 1, 3))
	l.Error("failed to heartbeat to", "peer", "n3")
	l.Debug("quiet")
	l.StandardLogger(nil).Print("plain")
	text := out.String()
	for _, want := range []string{"level=WARN", "disk full", "part=raft.net", "peer=n2", `servers="1 of 3"`, "plain"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if strings.Contains(text, "heartbeat") || strings.Contains(text, "quiet") {
		t.Errorf("too much: %q", text)
	}
}
