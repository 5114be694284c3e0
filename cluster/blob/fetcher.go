package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Port gives HTTP clients whose host is a node's id.
type Port interface {
	Client(proto string) *http.Client
}

// A Writer takes one model's chunks in any order, from several goroutines.
type Writer interface {
	Missing() []int
	PutChunk(i int, b []byte) error // verifies b; the code of what is wrong is spec.CodeModelDamaged
	// Receive reads chunk i from r, to its last byte and no further, and does with it as
	// PutChunk does. r's error is wrapped.
	Receive(i int, r io.Reader) error
	Commit() (path string, err error)
	Close() error // keeps what is there for the next attempt
}

// A Store keeps models.
type Store[W Writer] interface {
	Path(digest []byte) (string, bool)
	Writer(m *wire.Model) (W, error)
}

const (
	streams      = 4               // chunks asked for at a time
	chunkTimeout = 2 * time.Minute // for one chunk from one holder
	maxChunk     = 64 << 20
	pulls        = 3 // of one fetch: a chunk may turn out wrong on the disk here after it came
	lookEvery    = 200 * time.Millisecond
	progressStep = 10 // percent between two lines of the log
)

// A Fetcher brings models to this node.
type Fetcher struct {
	client  *http.Client
	path    func(digest []byte) (string, bool)
	writer  func(*wire.Model) (Writer, error)
	holders func() []spec.NodeID
	opts    Options

	mu     sync.Mutex
	flying map[string]*flight // by digest
	failed map[string]error   // why the last fetch did not bring it, by digest
}

// ErrOlder is wrapped by Options.Dial where a node does not serve Proto.
var ErrOlder = errors.New("the node's build is older")

// Options of a Fetcher. The zero value will do.
type Options struct {
	// Dial opens a connection of Proto to a node. nil: all are asked by Handler's protocol.
	Dial     func(ctx context.Context, id spec.NodeID) (net.Conn, error)
	Log      *slog.Logger
	Pace     *Pace                                // of all fetches together; nil: without bound
	Metrics  *Metrics                             // nil: nothing is counted
	Progress func(m *wire.Model, have, total int) // chunks; called from several goroutines
}

// NewFetcher returns a Fetcher into store. holders names the nodes to ask, best
// first; one that lacks the model costs one short answer.
func NewFetcher[W Writer](port Port, store Store[W], holders func() []spec.NodeID, opts ...Options) *Fetcher {
	f := &Fetcher{
		client: port.Client("blob"), path: store.Path, holders: holders, flying: map[string]*flight{}, failed: map[string]error{},
		writer: func(m *wire.Model) (Writer, error) { return store.Writer(m) },
	}
	if len(opts) > 0 {
		f.opts = opts[0]
	}
	if f.opts.Log == nil {
		f.opts.Log = slog.New(slog.DiscardHandler)
	}
	return f
}

// A flight is one fetch that several callers may wait for.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int  // callers; guarded by Fetcher.mu
	left    bool // the last of them had left once; guarded by Fetcher.mu, and read when done
	model   *wire.Model
	began   time.Time
	here    atomic.Int64 // bytes, of which
	before  atomic.Int64 // were here when it began
	path    string
	err     error
}

// Fetch returns the path of m's file here, and brings it here first where it is
// not. Callers that want the same bytes share one fetch, which ends early only
// when the last of them has left. What had come is kept for the next attempt.
// told, where it is not nil, is told now and then which part has come, 0 to 1.
func (f *Fetcher) Fetch(ctx context.Context, m *wire.Model, told func(part float64)) (string, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if path, ok := f.path(m.Digest); ok {
			return path, nil
		}
		fl := f.board(m)
		for flying := true; flying; {
			select {
			case <-fl.done:
				flying = false
			case <-look.C:
				if told != nil {
					told(float64(fl.here.Load()) / float64(max(1, m.GetSize())))
				}
			case <-ctx.Done():
				f.leave(fl)
				return "", ctx.Err()
			}
		}
		if fl.err != nil && fl.left && ctx.Err() == nil {
			continue // everybody else had left just before we came
		}
		return fl.path, fl.err
	}
}

// board joins the fetch of m's bytes or begins it.
func (f *Fetcher) board(m *wire.Model) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flying[string(m.Digest)]; fl != nil {
		fl.waiting++
		return fl
	}
	ctx, cancel := context.WithCancel(context.Background())
	fl := &flight{done: make(chan struct{}), cancel: cancel, waiting: 1, model: m, began: time.Now()}
	f.flying[string(m.Digest)] = fl
	go func() {
		defer cancel()
		fl.path, fl.err = f.fetch(ctx, m, fl)
		f.mu.Lock()
		delete(f.flying, string(m.Digest))
		delete(f.failed, string(m.Digest))
		if fl.err != nil && !errors.Is(fl.err, context.Canceled) {
			f.failed[string(m.Digest)] = fl.err
		}
		f.mu.Unlock()
		close(fl.done)
	}()
	return fl
}

// leave gives up waiting; the last one to leave ends the fetch and waits for it.
func (f *Fetcher) leave(fl *flight) {
	f.mu.Lock()
	fl.waiting--
	last := fl.waiting == 0
	fl.left = fl.left || last
	f.mu.Unlock()
	if last {
		fl.cancel()
		<-fl.done
	}
}

func (f *Fetcher) fetch(ctx context.Context, m *wire.Model, fl *flight) (_ string, err error) {
	w, err := f.writer(m)
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	began := time.Now()
	for n := range pulls {
		missing := w.Missing()
		here := int64(m.Size)
		for _, i := range missing {
			here -= int64(lengthOf(m, i))
		}
		fl.here.Store(here)
		if n == 0 {
			fl.before.Store(here)
		}
		if len(missing) == 0 {
			break
		}
		p := newPull(f, m, w, missing)
		p.flight = fl
		f.opts.Log.Info("fetching a model", "model", m.Name, "digest", hex.EncodeToString(m.Digest),
			"chunks", len(m.Chunks), "missing", len(missing), "holders", ids(p.holders))
		if err := p.run(ctx); err != nil {
			return "", err
		}
	}
	path, err := w.Commit()
	if err != nil {
		return "", err
	}
	f.opts.Log.Info("model fetched", "model", m.Name, "bytes", m.Size, "took", time.Since(began))
	return path, nil
}

// get asks one holder for one chunk, into buf, which has room for it. again has the
// holder look whether what it has is right.
func (f *Fetcher) get(ctx context.Context, node spec.NodeID, m *wire.Model, i int, buf []byte, again bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, chunkURL(node, m.Name, i), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(hdrDigest, hex.EncodeToString(m.Digest))
	if again {
		req.Header.Set(hdrAgain, "1")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		say, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return nil, fmt.Errorf("HTTP status %d: %s", resp.StatusCode, say)
	}
	n, err := io.ReadFull(resp.Body, buf)
	f.opts.Metrics.In(PeerNode, n)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%d bytes came of a chunk of %d", n, len(buf))
	}
	if err == nil {
		if more, _ := resp.Body.Read(make([]byte, 1)); more > 0 {
			err = errors.New("more bytes than a chunk has")
		}
	}
	return buf, err
}

// A Flight is a fetch under way.
type Flight struct {
	Model  *wire.Model
	Here   int64 // bytes of it that are here, of which
	Before int64 // were here when it began
	Began  time.Time
}

// Flights tells of the fetches under way.
func (f *Fetcher) Flights() []Flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Flight, 0, len(f.flying))
	for _, fl := range f.flying {
		out = append(out, Flight{fl.model, fl.here.Load(), fl.before.Load(), fl.began})
	}
	return out
}

// Failed tells why the last fetch of a model ended without it; nil: it did not, or
// there was none.
func (f *Fetcher) Failed(digest []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed[string(digest)]
}
