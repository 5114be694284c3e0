package consensus

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestDeadLeaderIsReplaced though raft's own timers sleep for an hour.
func TestDeadLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	c := grow(t, "n1", "n2", "n3")
	old := c.leader("n1", "n2", "n3")
	rest := c.others(old, "n1", "n2", "n3")
	for _, s := range rest {
		r := s.raft.ReloadableConfig()
		r.HeartbeatTimeout, r.ElectionTimeout = time.Hour, time.Hour
		if err := s.raft.ReloadConfig(r); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2*defaultHeartbeat + 200*time.Millisecond) // those that ran have run out
	c.kill(old.id)
	eventually(t, 30*time.Second, "another leads", func() bool { return rest[0].IsLeader() || rest[1].IsLeader() })
}

// TestQuietLeaderIsKept: a follower that looks at once, as it does when it is
// told to, stays with a leader that has just spoken.
func TestQuietLeaderIsKept(t *testing.T) {
	t.Parallel()
	patient := func(string) func(*Config) { return func(c *Config) { c.Heartbeat = 2 * time.Second } }
	c := growWith(t, patient, "n1", "n2", "n3")
	leader := c.leader("n1", "n2", "n3")
	term := leader.Term()
	for range 20 {
		for _, s := range c.others(leader, "n1", "n2", "n3") {
			s.giveUp()
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.must(leader, set("a", "b"))
	if !leader.IsLeader() || leader.Term() != term {
		t.Errorf("it leads: %v, in term %d after %d", leader.IsLeader(), leader.Term(), term)
	}
}

func TestVigilIsDue(t *testing.T) {
	start := time.Now()
	after := func(d time.Duration) time.Time { return start.Add(d) }
	v := vigil{heartbeat: 500 * time.Millisecond}
	for rank, want := range []int64{600, 700, 800, 900} {
		if got := v.due(start, rank).Sub(start).Milliseconds(); got != want {
			t.Errorf("rank %d waits %d ms, want %d", rank, got, want)
		}
	}
	v.woke(after(time.Second), 90*time.Millisecond)
	if got := v.due(start, 0); !got.Equal(after(600 * time.Millisecond)) {
		t.Errorf("after a slight delay it is due at %v", got.Sub(start))
	}
	v.woke(after(time.Second), 110*time.Millisecond)
	if got := v.due(start, 0); !got.Equal(after(1350 * time.Millisecond)) {
		t.Errorf("after a pause that ended at 1 s it is due at %v", got.Sub(start))
	}
	if got := v.due(after(time.Second), 1); !got.Equal(after(1700 * time.Millisecond)) {
		t.Errorf("the leader has spoken since, and it is due at %v", got.Sub(start))
	}
}

func TestRanksDiffer(t *testing.T) {
	voters := []raft.ServerID{"d", "b", "e", "a", "c"}
	for self, want := range map[raft.ServerID]int{"a": 0, "b": 1, "d": 2, "e": 3} {
		if got := rankOf(self, "c", voters); got != want {
			t.Errorf("%s is at place %d, want %d", self, got, want)
		}
	}
}

// TestPreVoteIsAskedForAgain until it is granted, the campaign is over, raft asks
// anew, or the transport ends.
func TestPreVoteIsAskedForAgain(t *testing.T) {
	failed := errors.New("not reached")
	for name, c := range map[string]struct {
		granted  int // at which question; 0: at none
		campaign time.Duration
		stopped  time.Duration
		asked    int
		took     time.Duration
	}{
		"granted at once":  {granted: 1, campaign: time.Minute, stopped: time.Minute, asked: 1},
		"granted later":    {granted: 3, campaign: time.Minute, stopped: time.Minute, asked: 3, took: 500 * time.Millisecond},
		"never granted":    {campaign: time.Minute, stopped: time.Minute, asked: 4, took: 750 * time.Millisecond},
		"campaign is over": {campaign: 300 * time.Millisecond, stopped: time.Minute, asked: 2, took: 500 * time.Millisecond},
		"transport ended":  {campaign: time.Minute, stopped: 300 * time.Millisecond, asked: 2, took: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, began, asked := newPeers(nil), time.Now(), 0
				p.stopped, p.again = make(chan struct{}), 250*time.Millisecond
				p.campaigns = func(term uint64) bool { return term == 7 && time.Since(began) < c.campaign }
				stop := time.AfterFunc(c.stopped, p.release)
				err := p.persist(7, func() (bool, error) {
					if asked++; asked == c.granted {
						return true, nil
					}
					return false, failed
				})
				took := time.Since(began)
				stop.Stop()
				if (err == nil) != (c.granted > 0) || asked != c.asked || took != c.took {
					t.Errorf("asked %d times in %v, %v", asked, took, err)
				}
			})
		})
	}
}
