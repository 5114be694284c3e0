package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Port gives HTTP clients whose host is a node's id.
type Port interface {
	Client(proto string) *http.Client
}

// A Store applies what the feed brings. Only the Follower's goroutine calls it
// here, though others may apply entries too: a voter that is being taken in gets
// them from both sides for a moment.
type Store interface {
	Index() uint64
	// ApplyEntry refuses an entry at or below Index.
	ApplyEntry(e *wire.Entry) (*wire.Result, error)
	// ReadSnapshot replaces the state, all or nothing, by one that is newer.
	ReadSnapshot(r io.Reader) error
}

// Config is what a Follower needs.
type Config struct {
	Port   Port
	Voters func() []spec.NodeID // servers to ask, this node not among them
	Store  Store
	Level  uint32 // the feature level up to which Store can apply commands
	Log    *slog.Logger
}

// ErrRefused is wrapped by Trouble where a server disconnects this node for good:
// its build is too old for the state, and the message says so.
var ErrRefused = errors.New("the server refuses to feed this node")

// Unknown is the age of a copy that was never known to be the newest.
const Unknown = time.Duration(math.MaxInt64)

const (
	silence    = 4 * beatEvery   // a server that says nothing for so long is left
	staleAfter = 3 * time.Second // a server whose own copy is older is left where there is another
	firstPause = 25 * time.Millisecond
	lastPause  = 2 * time.Second
)

// A Follower keeps a Store up with the cluster's state.
type Follower struct {
	cfg    Config
	http   *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	begun  atomic.Bool
	done   chan struct{}

	mu struct {
		sync.Mutex
		asOf    time.Time // the Store was the newest then; zero: never known
		trouble error
	}
}

// Follow returns a Follower, which does nothing until Start.
func Follow(c Config) *Follower {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Follower{cfg: c, http: c.Port.Client("state"), done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Start follows until Shutdown.
func (f *Follower) Start() {
	if f.begun.CompareAndSwap(false, true) {
		go func() {
			defer close(f.done)
			f.follow()
		}()
	}
}

// Shutdown ends the following and waits for it: nothing is applied afterwards.
func (f *Follower) Shutdown(ctx context.Context) error {
	f.cancel()
	if f.begun.CompareAndSwap(false, true) {
		close(f.done) // it was never started
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the state feed did not end in time: %w", ctx.Err())
	}
}

// Age is how long ago the Store was known to be the newest state, at most: the
// time that a frame took to come counts as age. Unknown before the first time.
func (f *Follower) Age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.asOf.IsZero() {
		return Unknown
	}
	return max(time.Since(f.mu.asOf), 0)
}

// Trouble is why the Store is not being kept up at present, for people to read;
// nil while it is, and before anything was tried.
func (f *Follower) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.trouble
}

// lost takes note of why a server was left. What a person has to mend is said
// loudly, once: the follower goes on trying.
func (f *Follower) lost(server spec.NodeID, err error) {
	f.mu.Lock()
	known := f.mu.trouble != nil && f.mu.trouble.Error() == err.Error()
	f.mu.trouble = err
	f.mu.Unlock()
	level := slog.LevelInfo
	if !known && (errors.Is(err, ErrRefused) || errors.Is(err, errApply)) {
		level = slog.LevelError
	}
	f.cfg.Log.Log(context.Background(), level, "state feed lost", "server", server, "index", f.cfg.Store.Index(), "error", err)
}

func (f *Follower) current(asOf time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.trouble = nil
	if asOf.After(f.mu.asOf) {
		f.mu.asOf = asOf
	}
}

// follow goes from server to server. It rests between them, longer and longer
// while none is of use.
func (f *Follower) follow() {
	pause := firstPause
	for turn := rand.IntN(1 << 10); ; turn++ {
		if servers := f.cfg.Voters(); len(servers) > 0 {
			server := servers[turn%len(servers)]
			useful, err := f.from(server, len(servers) > 1)
			if f.ctx.Err() != nil {
				return
			}
			if useful {
				pause = firstPause
			}
			f.lost(server, err)
		}
		select {
		case <-f.ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, lastPause)
	}
}

var (
	errSilent = errors.New("the server says nothing")
	errStale  = errors.New("the server's own copy is too old")
	errApply  = errors.New("this node cannot go on")
)

// from follows one server to its end, and tells whether it was of use: it has
// brought the Store up to date at least once.
func (f *Follower) from(server spec.NodeID, choice bool) (useful bool, err error) {
	c, err := dial(f.ctx, f.http, server, f.cfg.Store.Index(), f.cfg.Level)
	if err != nil {
		return false, err
	}
	defer c.close()
	f.cfg.Log.Info("state feed", "server", server, "index", f.cfg.Store.Index())
	for {
		kind, payload, err := c.next()
		if err != nil {
			return useful, err
		}
		switch kind {
		case kindHeartbeat:
			b, err := decodeBeat(payload)
			if err != nil {
				return useful, err
			}
			if b.age > staleAfter && choice {
				return useful, fmt.Errorf("%w: %s", errStale, b.age)
			}
			if b.age < Unknown/4 {
				f.current(c.began.Add(b.elapsed - b.age))
			}
			useful = useful || b.age <= staleAfter
		case kindEntry:
			err = f.entry(payload)
		case kindSnapshot:
			err = f.snapshot(c)
		case kindWait:
		case kindRefusal:
			err = fmt.Errorf("%w: %s", ErrRefused, payload)
		default:
			err = fmt.Errorf("%w: kind %q outside a snapshot", errFrame, kind)
		}
		if err != nil {
			return useful, err
		}
	}
}
