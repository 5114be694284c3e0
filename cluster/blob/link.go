package blob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	comeWithin = 20 * time.Second // that a holder may send nothing
	tellWithin = 5 * time.Second  // that it may take to tell what it has
)

// A link is a connection to one holder, on which one goroutine asks. It ends with its
// context, and is of no use after an error that is no refusal and no damage.
type link struct {
	c       net.Conn
	stop    func() bool
	metrics *Metrics
}

func newLink(ctx context.Context, c net.Conn, metrics *Metrics) *link {
	return &link{c: c, metrics: metrics, stop: context.AfterFunc(ctx, func() { _ = c.Close() })}
}

func (l *link) close() {
	l.stop()
	_ = l.c.Close()
}

func (l *link) ask(q request) error {
	_, err := l.c.Write(q.append(nil))
	if err == nil {
		err = flush(l.c)
	}
	return err
}

// hungUp is of a link that ended before an answer began: the holder ends those that ask
// nothing for long, and those that are too many for it.
type hungUp struct{ error }

func (e *hungUp) Unwrap() error { return e.error }

func isHungUp(err error) bool {
	e := (*hungUp)(nil)
	return errors.As(err, &e)
}

// chunk asks for chunk i and hands it to w, piece by piece.
func (l *link) chunk(m *wire.Model, i int, again bool, w Writer) error {
	op := askChunk
	if again {
		op = askAgain
	}
	in := &coming{l: l, within: comeWithin, until: time.Now().Add(chunkTimeout)}
	if err := l.ask(request{op, uint32(i), m.GetDigest(), m.GetName()}); err != nil {
		return in.unheard(err)
	}
	if err := readAnswer(in, lengthOf(m, i)); err != nil {
		return in.unheard(err)
	}
	in.counts = true
	err := w.Receive(i, in)
	switch {
	case in.err != nil:
		return fmt.Errorf("the chunk came in part: %w", in.err)
	case err == nil || spec.CodeOf(err) == spec.CodeModelDamaged:
		return err
	}
	return &keeping{err}
}

// have asks which chunks are there; nil: none is, nor is it going to be.
func (l *link) have(m *wire.Model) ([]bool, error) {
	in := &coming{l: l, within: tellWithin, until: time.Now().Add(comeWithin)}
	if err := l.ask(request{op: askHave, digest: m.GetDigest(), name: m.GetName()}); err != nil {
		return nil, in.unheard(err)
	}
	b := make([]byte, (len(m.GetChunks())+7)/8)
	if err := readAnswer(in, len(b)); err != nil {
		return nil, in.unheard(err)
	}
	for at := 0; at < len(b); {
		n, err := in.Read(b[at:])
		if at += n; err != nil && at < len(b) {
			return nil, err
		}
	}
	return unmap(b, len(m.GetChunks())), nil
}

// coming is what a holder sends. It remembers its own failure: who reads it may fail too.
type coming struct {
	l      *link
	within time.Duration
	until  time.Time // when all must have come: who sends a little now and then is slow too
	heard  bool      // something came
	counts bool
	set    time.Time // when the deadline was: a read gives one TLS record
	err    error
}

func (in *coming) Read(b []byte) (int, error) {
	if now := time.Now(); now.Sub(in.set) > time.Second {
		by := now.Add(in.within)
		if in.until.Before(by) {
			by = in.until
		}
		if in.err = in.l.c.SetReadDeadline(by); in.err != nil {
			return 0, in.err
		}
		in.set = now
	}
	n, err := in.l.c.Read(b)
	in.heard = in.heard || n > 0
	if in.counts {
		in.l.metrics.In(PeerNode, n)
	}
	in.err = err
	return n, err
}

// unheard makes err a hungUp where nothing came, unless it is that nothing came in time.
func (in *coming) unheard(err error) error {
	if in.heard || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return &hungUp{err}
}
