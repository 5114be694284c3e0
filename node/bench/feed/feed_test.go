package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain is the servers' process too, when a test starts it as that.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-serve") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSmallRun runs all of it, with few followers.
func TestSmallRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a Raft group in another process")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o, err := bench(ctx, settings{followers: 4, keys: 50, rate: 50, length: 200 * time.Millisecond, rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []round{o.feed[0], o.bare[0]} {
		if len(r.writes) != 10 || len(r.delays) != 40 {
			t.Errorf("%d writes and %d delays", len(r.writes), len(r.delays))
		}
	}
	if o.feed[0].sent == 0 || o.bare[0].sent != 0 || o.snapshots == 0 {
		t.Errorf("the feed's handlers sent %d bytes to begin with, %d in its round and %d in the broadcast's", o.snapshots, o.feed[0].sent, o.bare[0].sent)
	}
	var out bytes.Buffer
	o.print(&out)
	if n := strings.Count(out.String(), "figure: "); n != 15 {
		t.Errorf("%d figures:\n%s", n, out.String())
	}
}

func TestDelays(t *testing.T) {
	f := &follower{}
	f.mu.seen = []sight{{5, 100}, {6, 230}, {9, 400}}
	c := &crowd{list: []*follower{f}}
	got := c.delays([]Write{{Index: 5, Acked: 150}, {Index: 6, Acked: 200}, {Index: 8, Acked: 300}, {Index: 10, Acked: 300}})
	if want := []time.Duration{0, 30, 100}; !slices.Equal(got, want) { // 10 was not seen
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		f    figure
		want string
	}{
		{figure{"a", 1.5, "ms", 0}, "figure: a 1.500 ms"},
		{figure{"b", 250, "ms", 250}, "figure: b 250.000 ms goal <= 250"},
		{figure{"c", 251, "ms", 250}, "figure: c 251.000 ms goal <= 250 (missed)"},
	} {
		if got := c.f.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := quantile([]int{3, 1, 2}, 0.5); got != 2 {
		t.Errorf("the median is %d", got)
	}
	if err := enoughFiles(1 << 30); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("a thousand million followers: %v", err)
	}
	if enoughMemory(1000, 10_000, 4<<30) == nil || enoughMemory(1000, 1000, 8<<30) != nil || enoughMemory(1<<20, 1, 0) != nil {
		t.Error("memory is misjudged")
	}
}
