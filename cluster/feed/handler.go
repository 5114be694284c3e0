package feed

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Source is a state to follow. Its methods may be called at any time, by many
// followers; a slow one must not hold up what applies entries.
type Source interface {
	Index() uint64
	// Entries are applied entries after from, at most max of them; not ok where
	// some of them are no longer kept: then a snapshot is needed. An entry is the
	// same *wire.Entry each time, and nobody changes it.
	Entries(from uint64, max int) (entries []*wire.Entry, ok bool)
	// Changed is closed when the next entry has been applied.
	Changed() <-chan struct{}
	// WriteSnapshot writes the whole state and returns its index.
	WriteSnapshot(w io.Writer) (index uint64, err error)
	// Needs is the feature level that it takes to apply what the state has. It has
	// risen when an entry that raises it is among Entries.
	Needs() uint64
}

const (
	beatEvery = 500 * time.Millisecond
	gather    = 20 * time.Millisecond // between two looks for entries: a burst goes out in few pieces
	batch     = 256                   // entries between two looks at the follower
	patience  = 10 * time.Second      // a follower that takes nothing for so long is dropped
	followers = 4096                  // at a time; each has a connection, and with it a file descriptor
)

// An Option changes what Handler does.
type Option func(*server)

// WithAge tells followers how old the server's own copy of the state is. Without
// it they take it for the newest, which is right for a server that always is.
func WithAge(age func() time.Duration) Option { return func(s *server) { s.age = age } }

// Handler serves GET /feed?from=INDEX&level=LEVEL&format=2: the state after that
// index, as it grows, to a follower that can apply commands up to that level. It
// answers until the follower leaves, or is shown to be too old.
func Handler(s Source, options ...Option) http.Handler {
	v := &server{source: s, age: func() time.Duration { return 0 }, patience: patience, followers: followers, snapshots: newSnapshots(s)}
	for _, o := range options {
		o(v)
	}
	return v
}

type server struct {
	source    Source
	age       func() time.Duration
	patience  time.Duration
	followers int64
	frames    frames
	snapshots *snapshots
	serving   atomic.Int64 // followers
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	from, err := strconv.ParseUint(asked.Get("from"), 10, 64)
	if err != nil {
		http.Error(w, "from: want the index that the follower has", http.StatusBadRequest)
		return
	}
	if have := asked.Get("format"); have != strconv.Itoa(format) {
		http.Error(w, fmt.Sprintf("the state feed has format %d here, and the follower asks for format %q: upgrade the older of the two", format, have), http.StatusConflict)
		return
	}
	level, err := strconv.ParseUint(asked.Get("level"), 10, 32)
	if err != nil {
		http.Error(w, "level: want the feature level that the follower has", http.StatusBadRequest)
		return
	}
	defer s.serving.Add(-1)
	if s.serving.Add(1) > s.followers {
		http.Error(w, fmt.Sprintf("this server feeds %d followers, and takes no more: another may", s.followers), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	f := &feeding{server: s, w: w, to: http.NewResponseController(w), from: from, level: level, began: time.Now()}
	_ = f.run(r) // the follower has gone, or will come again
}

// A feeding is one follower's stream.
type feeding struct {
	*server
	w        io.Writer
	to       *http.ResponseController
	from     uint64 // sent up to here
	level    uint64 // that the follower can apply
	began    time.Time
	extended time.Time // when the follower was last given time
	scratch  []byte    // for frames of its own
}

func (f *feeding) run(r *http.Request) error {
	timer := time.NewTimer(beatEvery)
	defer timer.Stop()
	for {
		changed := f.source.Changed() // before the look, so that no change is missed
		if err := f.send(r); err != nil {
			return err
		}
		sent := time.Now()
		timer.Reset(beatEvery)
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-timer.C:
			continue
		case <-changed:
		}
		timer.Reset(gather - time.Since(sent))
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-timer.C:
		}
	}
}

// send brings the follower up to the present, and tells it so.
func (f *feeding) send(r *http.Request) error {
	for {
		// What the beat says is taken first: the follower is as new as this, or newer.
		b := beat{index: f.source.Index(), age: f.age(), elapsed: time.Since(f.began)}
		entries, ok := f.source.Entries(f.from, batch)
		if err := r.Context().Err(); err != nil {
			return err
		}
		if needed := f.source.Needs(); needed > f.level {
			return f.refuse(needed)
		}
		switch {
		case !ok:
			if err := f.snapshot(r.Context()); err != nil {
				return err
			}
			continue
		case len(entries) == 0:
			// Entries that Raft keeps to itself raise the index without being sent.
			if err := f.frame(kindHeartbeat, b.encode()); err != nil {
				return err
			}
			return f.to.Flush()
		}
		for _, e := range entries {
			framed, err := f.frames.of(e)
			if err != nil {
				return err
			}
			if err := f.write(framed); err != nil {
				return err
			}
			f.from = e.GetIndex()
		}
	}
}

// refuse tells a follower that is too old why it gets no more.
func (f *feeding) refuse(needed uint64) error {
	why := fmt.Sprintf("the state needs feature level %d, and this follower's build has level %d: upgrade it", needed, f.level)
	if err := f.frame(kindRefusal, []byte(why)); err != nil {
		return err
	}
	if err := f.to.Flush(); err != nil {
		return err
	}
	return ErrRefused
}

func (f *feeding) frame(kind byte, payload []byte) (err error) {
	if f.scratch, err = appendFrame(f.scratch[:0], kind, payload); err != nil {
		return err
	}
	return f.write(f.scratch)
}

// write gives the follower frames. Where they are small, only Flush sends them.
func (f *feeding) write(framed []byte) error {
	// Setting a deadline costs as much as a frame, so it is done now and then. Not
	// every writer can set one; those of the cluster port can.
	if now := time.Now(); now.Sub(f.extended) > f.patience/8 {
		_ = f.to.SetWriteDeadline(now.Add(f.patience))
		f.extended = now
	}
	_, err := f.w.Write(framed)
	return err
}
