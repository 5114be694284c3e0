package gossip

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/memberlist"

	"github.com/lotabots/lotabots/cluster/spec"
)

// MaxDigest is the most bytes that SendDigest takes: with everything around it,
// a datagram that no usual link splits.
const MaxDigest = 1200

// Errors of SendDigest.
var (
	ErrDigestTooLarge = errors.New("the digest is larger than a datagram may be")
	ErrNotAlive       = errors.New("the member is not alive")
)

// digestVersion begins every digest's frame: version, length of the sender's id,
// the id, the digest.
const digestVersion = 1

func encodeDigest(from spec.NodeID, raw []byte) []byte {
	frame := make([]byte, 0, 2+len(from)+len(raw))
	frame = append(frame, digestVersion, byte(len(from)))
	frame = append(frame, from...)
	return append(frame, raw...)
}

// decodeDigest reads a frame; raw is part of it.
func decodeDigest(frame []byte) (from spec.NodeID, raw []byte, err error) {
	if len(frame) < 2 || frame[0] != digestVersion {
		return "", nil, errors.New("no digest of a known version")
	}
	rest := frame[2:]
	n := int(frame[1])
	if n > len(rest) {
		return "", nil, errors.New("the digest is cut short")
	}
	from, raw = spec.NodeID(rest[:n]), rest[n:]
	if err := from.Valid(); err != nil {
		return "", nil, err
	}
	if len(raw) > MaxDigest {
		return "", nil, ErrDigestTooLarge
	}
	return from, raw, nil
}

// SendDigest sends raw to one living member in a datagram, which may get lost.
func (g *Gossip) SendDigest(to spec.NodeID, raw []byte) error {
	if len(raw) > MaxDigest {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrDigestTooLarge, len(raw), MaxDigest)
	}
	m, ok := g.table.member(to)
	if !ok || to == g.config.ID {
		return fmt.Errorf("send a digest to %s: %w", to, ErrNotAlive)
	}
	frame := encodeDigest(g.config.ID, raw)
	if err := g.list.SendToAddress(memberlist.Address{Addr: m.Addr, Name: string(to)}, frame); err != nil {
		g.metrics.digests.WithLabelValues("failed").Inc()
		return fmt.Errorf("send a digest to %s: %w", to, err)
	}
	g.metrics.digests.WithLabelValues("sent").Inc()
	return nil
}

// OnDigest has fn called with each digest of a living member, from one
// goroutine. from is who the digest says it is by: every holder of the gossip
// key could say so. raw is fn's to keep. The last fn given is the one called.
func (g *Gossip) OnDigest(fn func(from spec.NodeID, raw []byte)) { g.digests.handler.Store(&fn) }

// An inbox takes digests from memberlist, which it must not hold up: when fn is
// too slow, digests are dropped, for newer ones follow.
type inbox struct {
	queue   chan []byte
	handler atomic.Pointer[func(spec.NodeID, []byte)]
	done    chan struct{}
}

func newInbox() *inbox {
	return &inbox{queue: make(chan []byte, digestQueue), done: make(chan struct{})}
}

// run hands digests on until stop is closed.
func (in *inbox) run(g *Gossip, stop <-chan struct{}) {
	defer close(in.done)
	for {
		select {
		case <-stop:
			return
		case frame := <-in.queue:
			g.receive(frame)
		}
	}
}

func (g *Gossip) receive(frame []byte) {
	from, raw, err := decodeDigest(frame)
	fn := g.digests.handler.Load()
	switch {
	case err != nil:
		g.metrics.digests.WithLabelValues("unreadable").Inc()
	case !g.Alive(from), g.config.Barred(from): // a dead member's last words would bring it back
		g.metrics.digests.WithLabelValues("stranger").Inc()
	case fn == nil:
		g.metrics.digests.WithLabelValues("unwanted").Inc()
	default:
		g.metrics.digests.WithLabelValues("received").Inc()
		(*fn)(from, raw)
	}
}

// A delegate is what memberlist asks and tells besides membership. It keeps
// nothing of the buffers it is given.
type delegate struct {
	meta    atomic.Pointer[[]byte]
	digests *inbox
	metrics *metrics
}

func (d *delegate) NodeMeta(int) []byte { return *d.meta.Load() }

func (d *delegate) NotifyMsg(b []byte) {
	if len(b) > MaxDigest+64 {
		d.metrics.digests.WithLabelValues("unreadable").Inc()
		return
	}
	select {
	case d.digests.queue <- append([]byte(nil), b...):
	default:
		d.metrics.digests.WithLabelValues("dropped").Inc()
	}
}

func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}
