package feed

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// Bounds on snapshots. One that many ask for is made once and kept in memory as
// long as somebody takes it. One that is too large for that is streamed to each
// follower by itself, and few at a time, since the state holds on to what it was
// while one is written.
const (
	keptSnapshot = 64 << 20         // bytes of one that is kept; at most two are
	keptFor      = 5 * time.Second  // after the last follower has taken it
	largeFor     = 30 * time.Second // a state that was too large is not tried again
	sharing      = 64               // followers at a time that are sent one
	streaming    = 4                // those of them that are sent one by itself

	// A follower that is slower than this keeps others waiting: it is dropped.
	leastRate = 64 << 10 // bytes per second
	grace     = 10 * time.Second
)

// tooSlow tells whether a follower has taken too few bytes of a snapshot so far.
func tooSlow(sent int64, elapsed time.Duration) bool {
	return elapsed > grace && float64(sent) < leastRate*(elapsed-grace).Seconds()
}

var (
	errTooLarge = errors.New("the snapshot is too large to be kept")
	errTooSlow  = errors.New("the follower takes its snapshot too slowly")
)

// A copied snapshot is one in memory, as the frames that carry it.
type copied struct {
	index  uint64
	frames [][]byte // nobody changes them
	users  int      // guarded by snapshots.mu
}

// snapshots gives the state to those for whom entries are not enough.
type snapshots struct {
	source Source
	most   int // bytes of one that is kept
	turns  chan struct{}
	single chan struct{}

	mu struct {
		sync.Mutex
		last   *copied       // nil: there is none
		older  int           // copies that are not the last, and are still being sent
		making chan struct{} // closed when a copy has been made, or has not; nil: none is
		large  time.Time     // when the state was last too large to be kept
		forget *time.Timer   // of last
	}
}

func newSnapshots(s Source) *snapshots {
	return &snapshots{source: s, most: keptSnapshot, turns: make(chan struct{}, sharing), single: make(chan struct{}, streaming)}
}

// take returns a copy from which entries go on, for release to give back. nil: the
// snapshot is to be streamed. waiting is called now and then while it takes time.
func (s *snapshots) take(waiting func() error) (*copied, error) {
	for {
		s.mu.Lock()
		if c := s.mu.last; c != nil {
			if _, ok := s.source.Entries(c.index, 1); ok {
				c.users++
				s.mu.Unlock()
				return c, nil
			}
			s.dropLocked()
		}
		if s.mu.making == nil && (s.mu.older > 1 || time.Since(s.mu.large) < largeFor) {
			s.mu.Unlock()
			return nil, nil
		}
		making := s.mu.making
		if making == nil {
			making = make(chan struct{})
			s.mu.making = making
			s.mu.Unlock()
			err := s.begin(making, waiting)
			if err != nil {
				return nil, err
			}
			continue
		}
		s.mu.Unlock()
		if err := until(making, waiting); err != nil {
			return nil, err
		}
	}
}

// begin makes a copy, whether or not the follower who asked first still waits.
func (s *snapshots) begin(made chan struct{}, waiting func() error) error {
	failed := make(chan error, 1)
	go func() {
		c, err := copySnapshot(s.source, s.most)
		s.mu.Lock()
		defer s.mu.Unlock()
		defer close(made)
		s.mu.making = nil
		switch {
		case errors.Is(err, errTooLarge):
			s.mu.large, err = time.Now(), nil
		case err == nil:
			s.mu.last = c
			s.forgetLocked(c)
		}
		failed <- err
	}()
	err := until(made, waiting)
	return errors.Join(err, <-failed) // it has an owner until it has ended
}

// until waits for done.
func until(done <-chan struct{}, waiting func() error) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			if err := waiting(); err != nil {
				return err
			}
		}
	}
}

func (s *snapshots) release(c *copied) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.users--; c.users > 0 {
		return
	}
	if c == s.mu.last {
		s.forgetLocked(c)
	} else {
		s.mu.older--
	}
}

// forgetLocked lets go of a copy that nobody takes any more. It needs mu.
func (s *snapshots) forgetLocked(c *copied) {
	if s.mu.forget != nil {
		s.mu.forget.Stop()
	}
	s.mu.forget = time.AfterFunc(keptFor, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.mu.last == c && c.users == 0 {
			s.mu.last = nil
		}
	})
}

// dropLocked makes way for a newer copy. It needs mu.
func (s *snapshots) dropLocked() {
	if s.mu.last.users > 0 {
		s.mu.older++
	}
	s.mu.last = nil
}

// copySnapshot has at most so many bytes of frames.
func copySnapshot(s Source, most int) (*copied, error) {
	c, size := &copied{}, 0
	into := &partWriter{write: func(framed []byte) error {
		if size += len(framed); size > most {
			return errTooLarge
		}
		c.frames = append(c.frames, slices.Clone(framed))
		return nil
	}}
	var err error
	c.index, err = into.snapshot(s)
	return c, err
}

// A partWriter cuts a snapshot into frames.
type partWriter struct {
	write func(framed []byte) error // keeps nothing of it
	buf   []byte
}

// snapshot writes all of it, and returns its index.
func (p *partWriter) snapshot(s Source) (index uint64, err error) {
	if err := p.frame(kindSnapshot, nil); err != nil {
		return 0, err
	}
	if index, err = s.WriteSnapshot(p); err != nil {
		return 0, err
	}
	return index, p.frame(kindEnd, nil)
}

func (p *partWriter) frame(kind byte, payload []byte) (err error) {
	if p.buf, err = appendFrame(p.buf[:0], kind, payload); err != nil {
		return err
	}
	return p.write(p.buf)
}

// Write implements io.Writer.
func (p *partWriter) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		part := b[n:min(n+maxPart, len(b))]
		if err := p.frame(kindPart, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(b), nil
}

var _ io.Writer = (*partWriter)(nil)

// snapshot sends the follower the whole state, when it is its turn.
func (f *feeding) snapshot(ctx context.Context) error {
	waiting := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.frame(kindWait, nil); err != nil {
			return err
		}
		return f.to.Flush()
	}
	leave, err := enter(f.snapshots.turns, waiting)
	if err != nil {
		return err
	}
	defer leave()
	c, err := f.snapshots.take(waiting)
	if err != nil {
		return err
	}
	began, sent := time.Now(), int64(0)
	write := func(framed []byte) error {
		sent += int64(len(framed))
		if tooSlow(sent, time.Since(began)) {
			return errTooSlow
		}
		return f.write(framed)
	}
	if c == nil {
		leave, err := enter(f.snapshots.single, waiting)
		if err != nil {
			return err
		}
		defer leave()
		began = time.Now()
		f.from, err = (&partWriter{write: write}).snapshot(f.source)
		return err
	}
	defer f.snapshots.release(c)
	for _, framed := range c.frames {
		if err := write(framed); err != nil {
			return err
		}
	}
	f.from = c.index
	return nil
}

// enter waits for one of the places.
func enter(places chan struct{}, waiting func() error) (leave func(), err error) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case places <- struct{}{}:
			return func() { <-places }, nil
		case <-tick.C:
			if err := waiting(); err != nil {
				return nil, err
			}
		}
	}
}
