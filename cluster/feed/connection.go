package feed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A connection is one server's stream of frames.
type connection struct {
	// began is a time before the server got the request. What the server says
	// happened "elapsed" after that happened no earlier than began + elapsed by
	// this node's clock, however long the frame was on its way.
	began  time.Time
	body   io.ReadCloser
	frames *bufio.Reader
	count  int   // frames read
	read   int64 // bytes of them
	watch  *time.Timer
	cancel context.CancelCauseFunc
	ctx    context.Context
}

func dial(ctx context.Context, client *http.Client, server spec.NodeID, from uint64, level uint32) (*connection, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &connection{ctx: ctx, cancel: cancel}
	c.watch = time.AfterFunc(2*silence, func() { cancel(errSilent) }) // a handshake takes longer than a frame
	traced, written := departure(ctx)
	at := fmt.Sprintf("http://%s/feed?from=%d&level=%d&format=%d", server, from, level, format)
	r, err := http.NewRequestWithContext(traced, http.MethodGet, at, nil)
	if err != nil {
		c.close()
		return nil, err
	}
	answer, err := client.Do(r) //nolint:bodyclose // close does it
	if err != nil {
		c.close()
		return nil, c.why(err)
	}
	c.body, c.frames = answer.Body, bufio.NewReaderSize(answer.Body, maxPart+headSize)
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 512))
		c.close()
		err := fmt.Errorf("the server answered %s: %s", answer.Status, strings.TrimSpace(string(text)))
		if answer.StatusCode == http.StatusConflict {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return nil, err
	}
	c.began = written()
	return c, nil
}

// departure tells when the request began to be written: before that it waited
// for a connection. It is the time of this call where the client does not say.
func departure(ctx context.Context) (context.Context, func() time.Time) {
	var mu sync.Mutex
	at, said := time.Now(), false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaderField: func(string, []string) {
		mu.Lock()
		defer mu.Unlock()
		if !said {
			at, said = time.Now(), true
		}
	}})
	return ctx, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}

// next reads a frame, and waits for it no longer than a living server would let
// it. The time between two calls does not count.
func (c *connection) next() (byte, []byte, error) { return c.within(silence) }

// nextPart is next within a snapshot, which a busy server may be slow in sending:
// beginning it anew elsewhere would cost more than waiting for it.
func (c *connection) nextPart() (byte, []byte, error) { return c.within(5 * silence) }

func (c *connection) within(limit time.Duration) (byte, []byte, error) {
	c.watch.Reset(limit)
	kind, payload, err := readFrame(c.frames)
	c.watch.Stop()
	switch {
	case errors.Is(err, errFrame):
		return 0, nil, fmt.Errorf("%w (frame %d, at byte %d of the stream)", c.why(err), c.count, c.read)
	case err != nil:
		return 0, nil, c.why(err)
	}
	c.count, c.read = c.count+1, c.read+headSize+int64(len(payload))
	return kind, payload, nil
}

// why is the cause of err, where this side gave up.
func (c *connection) why(err error) error {
	if cause := context.Cause(c.ctx); errors.Is(cause, errSilent) {
		return cause
	}
	return err
}

func (c *connection) close() {
	c.watch.Stop()
	c.cancel(context.Canceled)
	if c.body != nil {
		_ = c.body.Close()
	}
}

func (f *Follower) entry(payload []byte) error {
	e := &wire.Entry{}
	if err := proto.Unmarshal(payload, e); err != nil {
		return fmt.Errorf("%w: an entry after index %d: %w", errFrame, f.cfg.Store.Index(), err)
	}
	if e.GetIndex() <= f.cfg.Store.Index() {
		return nil // it came by Raft, or with a snapshot that was newer
	}
	if _, err := f.cfg.Store.ApplyEntry(e); err != nil {
		return fmt.Errorf("%w: entry %d: %w", errApply, e.GetIndex(), err)
	}
	return nil
}

func (f *Follower) snapshot(c *connection) error {
	began, had := time.Now(), f.cfg.Store.Index()
	p := &parts{next: c.nextPart}
	if err := f.cfg.Store.ReadSnapshot(p); err != nil {
		return fmt.Errorf("restoring a snapshot, at byte %d of it: %w", p.read, err)
	}
	if err := p.drain(); err != nil {
		return err
	}
	f.cfg.Log.Info("state restored from a snapshot", "index", f.cfg.Store.Index(), "before", had, "took", time.Since(began))
	return nil
}
