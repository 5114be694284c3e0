package feed

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// A Source is a state to follow. Its methods may be called at any time, by many
// followers; a slow one must not hold up what applies entries.
type Source interface {
	Index() uint64
	// Entries are applied entries after from, at most max of them; not ok where
	// some of them are no longer kept: then a snapshot is needed.
	Entries(from uint64, max int) (entries []*wire.Entry, ok bool)
	// Changed is closed when the next entry has been applied.
	Changed() <-chan struct{}
	// WriteSnapshot writes the whole state and returns its index.
	WriteSnapshot(w io.Writer) (index uint64, err error)
}

const (
	beatEvery = 500 * time.Millisecond
	batch     = 256              // entries between two looks at the follower
	patience  = 10 * time.Second // a follower that takes nothing for so long is dropped
)

// An Option changes what Handler does.
type Option func(*server)

// WithAge tells followers how old the server's own copy of the state is. Without
// it they take it for the newest, which is right for a server that always is.
func WithAge(age func() time.Duration) Option { return func(s *server) { s.age = age } }

// Handler serves GET /feed?from=INDEX: the state after that index, as it grows.
// It answers until the follower leaves.
func Handler(s Source, options ...Option) http.Handler {
	v := &server{source: s, age: func() time.Duration { return 0 }, patience: patience}
	for _, o := range options {
		o(v)
	}
	return v
}

type server struct {
	source   Source
	age      func() time.Duration
	patience time.Duration
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.URL.Query().Get("from"), 10, 64)
	if err != nil {
		http.Error(w, "from: want the index that the follower has", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	f := &feeding{server: s, w: w, to: http.NewResponseController(w), from: from, began: time.Now()}
	_ = f.run(r) // the follower has gone, or will come again
}

// A feeding is one follower's stream.
type feeding struct {
	*server
	w     io.Writer
	to    *http.ResponseController
	from  uint64 // sent up to here
	began time.Time
}

func (f *feeding) run(r *http.Request) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		changed := f.source.Changed() // before the look, so that no change is missed
		if err := f.send(r); err != nil {
			return err
		}
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-changed:
		case <-tick.C:
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
		switch {
		case !ok:
			if err := f.snapshot(); err != nil {
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
			raw, err := proto.Marshal(e)
			if err != nil {
				return err
			}
			if err := f.frame(kindEntry, raw); err != nil {
				return err
			}
			f.from = e.GetIndex()
		}
	}
}

func (f *feeding) frame(kind byte, payload []byte) error {
	// Not every writer can set one; those of the cluster port can.
	_ = f.to.SetWriteDeadline(time.Now().Add(f.patience))
	return writeFrame(f.w, kind, payload)
}

func (f *feeding) snapshot() error {
	if err := f.frame(kindSnapshot, nil); err != nil {
		return err
	}
	index, err := f.source.WriteSnapshot(partWriter{f})
	if err != nil {
		return err
	}
	f.from = index
	return f.frame(kindEnd, nil)
}

// partWriter cuts what it is given into frames.
type partWriter struct{ f *feeding }

func (p partWriter) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		part := b[n:min(n+maxPart, len(b))]
		if err := p.f.frame(kindPart, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(b), nil
}
