package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/lotabots/lotabots/cluster/pki"
	"github.com/lotabots/lotabots/cluster/spec"
)

// A round is one way's measurement.
type round struct {
	writes []Write
	delays []time.Duration
	cpu    time.Duration // of the servers
	sent   int64         // bytes by the feed's handlers
}

// outcome is what a run has found.
type outcome struct {
	settings
	certificates time.Duration // to make all of them
	catchUp      time.Duration // of all, from nothing
	catchUpCPU   time.Duration // of the servers
	snapshots    int64         // bytes sent for it
	idle         time.Duration // CPU of the servers per second while nothing is written
	memory       int64         // bytes of the servers, for all followers
	resume       []time.Duration
	feed, bare   []round
}

// bench runs everything.
func bench(ctx context.Context, s settings) (o *outcome, err error) {
	if err := errors.Join(enoughFiles(s.followers), enoughMemory(s.followers, s.keys, available())); err != nil {
		return nil, err
	}
	debug.SetGCPercent(25) // the followers' databases are in this process's memory
	dir, err := os.MkdirTemp("", "bench-feed")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	finish, err := profileTo(s.profile, "followers")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, finish()) }()
	o = &outcome{settings: s}
	identities, err := o.identities(dir)
	if err != nil {
		return nil, err
	}
	g, err := startGroup(dir, s.profile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	c := &crowd{}
	defer func() { err = errors.Join(err, c.close()) }()
	if c.servers, err = g.addresses(); err != nil {
		return nil, err
	}
	if err := c.open(identities); err != nil {
		return nil, err
	}
	return o, o.run(ctx, g, c)
}

// identities makes those of the servers, in dir, and the followers'.
func (o *outcome) identities(dir string) ([]*pki.Identity, error) {
	authority, err := pki.NewAuthority("bench", time.Now)
	if err != nil {
		return nil, err
	}
	for _, id := range serverIDs {
		if _, err := member(authority, dir, id, spec.RoleVoter); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	out := make([]*pki.Identity, o.followers)
	for i := range out {
		if out[i], err = member(authority, dir, fmt.Sprintf("f%04d", i), spec.RoleWorker); err != nil {
			return nil, err
		}
	}
	o.certificates = time.Since(began)
	return out, nil
}

func (o *outcome) run(ctx context.Context, g *group, c *crowd) error {
	o.say("writing %d keys", o.keys)
	if err := g.seed(o.keys); err != nil {
		return err
	}
	o.say("%d followers catch up", o.followers)
	before, err := g.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	c.follow()
	if err := c.reached(ctx, before.Index, 10*time.Minute); err != nil {
		return err
	}
	o.catchUp = time.Since(began)
	after, err := g.usage()
	if err != nil {
		return err
	}
	o.catchUpCPU, o.snapshots, o.memory = after.CPU-before.CPU, after.Sent-before.Sent, after.Memory-before.Memory
	o.say("nothing is written")
	if err := o.rest(ctx, g, 3*time.Second); err != nil {
		return err
	}
	for i := range o.rounds {
		o.say("round %d of %d", i+1, o.rounds)
		if err := o.round(ctx, g, c); err != nil {
			return err
		}
	}
	return nil
}

func (o *outcome) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// rest measures what the servers do while nothing is written.
func (o *outcome) rest(ctx context.Context, g *group, length time.Duration) error {
	before, err := g.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(length):
	}
	after, err := g.usage()
	o.idle = time.Duration(float64(after.CPU-before.CPU) / time.Since(began).Seconds())
	return err
}

// round measures the feed, the bare broadcast, and how long it takes to follow again.
func (o *outcome) round(ctx context.Context, g *group, c *crowd) error {
	r, err := o.measure(ctx, g, c)
	if err != nil {
		return fmt.Errorf("the feed: %w", err)
	}
	o.feed = append(o.feed, r)
	if err := c.unfollow(); err != nil {
		return err
	}
	detach, err := c.attach(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("connecting to the broadcast: %w", err), detach())
	}
	r, err = o.measure(ctx, g, c)
	if err = errors.Join(err, detach()); err != nil {
		return fmt.Errorf("the broadcast: %w", err)
	}
	o.bare = append(o.bare, r)
	w, err := g.write(Load{Count: 1, Every: time.Second}) // nobody is there to hear of it
	if err != nil {
		return err
	}
	began := time.Now()
	c.follow()
	if err := c.reached(ctx, w[0].Index, time.Minute); err != nil {
		return err
	}
	o.resume = append(o.resume, time.Since(began))
	return nil
}

// measure writes at the rate, and waits until everybody has all of it.
func (o *outcome) measure(ctx context.Context, g *group, c *crowd) (r round, err error) {
	c.forget()
	before, err := g.usage()
	if err != nil {
		return r, err
	}
	load := Load{Count: max(1, int(o.rate*o.length.Seconds())), Every: time.Duration(float64(time.Second) / o.rate)}
	if r.writes, err = g.write(load); err != nil {
		return r, err
	}
	if err := c.reached(ctx, r.writes[len(r.writes)-1].Index, time.Minute); err != nil {
		return r, err
	}
	after, err := g.usage()
	r.cpu, r.sent, r.delays = after.CPU-before.CPU, after.Sent-before.Sent, c.delays(r.writes)
	if want := len(r.writes) * len(c.list); len(r.delays) != want {
		err = errors.Join(err, fmt.Errorf("%d entries were seen to be applied, and not %d", len(r.delays), want))
	}
	return r, err
}

// enoughFiles says what to do where the followers would run out of descriptors.
func enoughFiles(followers int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if want := uint64(4*followers + 500); l.Cur < want { // TCP and UDP to listen on, two connections
		return fmt.Errorf("%d followers need %d file descriptors, and the process may have %d: see ulimit -n", followers, want, l.Cur)
	}
	return nil
}

// enoughMemory says what to do where the followers' databases would take more than
// is available; 0: nobody knows.
func enoughMemory(followers, keys int, available int64) error {
	if want := int64(followers) * int64(2<<20+2<<10*keys); available > 0 && want > available {
		return fmt.Errorf("%d followers with %d keys take about %d MiB of memory, and %d MiB are available: see -followers and -keys",
			followers, keys, want>>20, available>>20)
	}
	return nil
}

// available is the machine's free memory in bytes, where the system tells.
func available() int64 {
	raw, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// profileTo begins a CPU profile in a file that is named after the prefix.
func profileTo(prefix, part string) (finish func() error, err error) {
	if prefix == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(prefix + "." + part)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error { pprof.StopCPUProfile(); return file.Close() }, nil
}
