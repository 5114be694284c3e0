package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testChunk = 1000

// model is one of n chunks, the last of which is short, and its bytes.
func model(name string, n int) (*wire.Model, []byte) {
	raw := bytes.Repeat([]byte(name+"/"), n*testChunk/len(name))[:n*testChunk-400]
	for i := range n {
		copy(raw[i*testChunk:], fmt.Sprint(i)) // no two chunks are alike
	}
	whole := sha256.Sum256(raw)
	m := &wire.Model{Name: name, Digest: whole[:], Size: uint64(len(raw)), ChunkSize: testChunk}
	for part := range slices.Chunk(raw, testChunk) {
		sum := sha256.Sum256(part)
		m.Chunks = append(m.Chunks, sum[:])
	}
	return m, raw
}

// memory is a Store and a Source in memory, which keeps the Store's promises.
type memory struct {
	mu      sync.Mutex
	whole   map[string][]byte
	partial map[string][][]byte
	writing int
	putErr  error
}

func newMemory(files ...[]byte) *memory {
	s := &memory{whole: map[string][]byte{}, partial: map[string][][]byte{}}
	for _, raw := range files {
		sum := sha256.Sum256(raw)
		s.whole[string(sum[:])] = raw
	}
	return s
}

func (s *memory) Path(digest []byte) (string, bool) { return fmt.Sprintf("%x", digest), s.Has(digest) }

func (s *memory) Has(digest []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole[string(digest)] != nil
}

func (s *memory) LendChunk(m *wire.Model, i int, again bool, use func([]byte)) error {
	s.mu.Lock()
	raw := s.whole[string(m.Digest)]
	s.mu.Unlock()
	b := raw[i*testChunk : min((i+1)*testChunk, len(raw))]
	if sum := sha256.Sum256(b); again && !bytes.Equal(sum[:], m.Chunks[i]) {
		return spec.Errorf(spec.CodeModelDamaged, "it is damaged here")
	}
	use(b)
	return nil
}

func (s *memory) Chunks(m *wire.Model) []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := make([]bool, len(m.Chunks))
	partial, coming := s.partial[string(m.Digest)]
	whole := s.whole[string(m.Digest)] != nil
	for i := range have {
		have[i] = whole || coming && partial[i] != nil
	}
	if !whole && !coming {
		return nil
	}
	return have
}

func (s *memory) ReadPieces(m *wire.Model, i int, again bool, use func([]byte) error) error {
	s.mu.Lock()
	var b []byte
	if raw := s.whole[string(m.Digest)]; raw != nil {
		b = raw[i*testChunk : min((i+1)*testChunk, len(raw))]
	} else if partial := s.partial[string(m.Digest)]; partial != nil {
		b = partial[i]
	}
	s.mu.Unlock()
	if b == nil {
		return spec.Errorf(spec.CodeNotFound, "it is not here")
	}
	if sum := sha256.Sum256(b); again && !bytes.Equal(sum[:], m.Chunks[i]) {
		return spec.Errorf(spec.CodeModelDamaged, "it is damaged here")
	}
	for piece := range slices.Chunk(b, 300) {
		if err := use(piece); err != nil {
			return err
		}
	}
	return nil
}

func (s *memory) Writer(m *wire.Model) (*writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing++; s.writing != 1 {
		return nil, errors.New("two writers of one model")
	}
	if s.partial[string(m.Digest)] == nil {
		s.partial[string(m.Digest)] = make([][]byte, len(m.Chunks))
	}
	return &writer{s: s, m: m}, nil
}

func (s *memory) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing == 0
}

type writer struct {
	s *memory
	m *wire.Model
}

func (w *writer) Missing() []int {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	var out []int
	for i, b := range w.s.partial[string(w.m.Digest)] {
		if b == nil {
			out = append(out, i)
		}
	}
	return out
}

func (w *writer) PutChunk(i int, b []byte) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], w.m.Chunks[i]) {
		return spec.Errorf(spec.CodeModelDamaged, "a damaged chunk")
	}
	if w.s.putErr == nil {
		w.s.partial[string(w.m.Digest)][i] = bytes.Clone(b)
	}
	return w.s.putErr
}

func (w *writer) Receive(i int, r io.Reader) error {
	b := make([]byte, lengthOf(w.m, i))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return w.PutChunk(i, b)
}

func (w *writer) Commit() (string, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	raw := bytes.Join(w.s.partial[string(w.m.Digest)], nil)
	if sum := sha256.Sum256(raw); !bytes.Equal(sum[:], w.m.Digest) {
		return "", spec.Errorf(spec.CodeModelDamaged, "the whole is another")
	}
	w.s.whole[string(w.m.Digest)] = raw
	return fmt.Sprintf("%x", w.m.Digest), nil
}

func (w *writer) Close() error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.writing--
	return nil
}

// net of holders: each is a real server, found by its node's id.
type holders struct {
	t         *testing.T
	transport *http.Transport
	ids       []spec.NodeID
	at        map[string]string
	asked     map[spec.NodeID]*atomic.Int32
}

func newHolders(t *testing.T) *holders {
	h := &holders{t: t, at: map[string]string{}, asked: map[spec.NodeID]*atomic.Int32{}}
	h.transport = &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		at, ok := h.at[addr]
		if !ok {
			return nil, errors.New("no such node")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", at)
	}}
	t.Cleanup(h.transport.CloseIdleConnections)
	return h
}

// add starts a holder that answers with serve; nil: there is nobody.
func (h *holders) add(id spec.NodeID, serve http.Handler) {
	h.ids = append(h.ids, id)
	asked := new(atomic.Int32)
	h.asked[id] = asked
	if serve == nil {
		return
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		serve.ServeHTTP(w, r)
	}))
	h.t.Cleanup(s.Close)
	h.at[string(id)+":80"] = s.Listener.Addr().String()
}

func (h *holders) Client(string) *http.Client { return &http.Client{Transport: h.transport} }
func (h *holders) list() []spec.NodeID        { return h.ids }

func knows(m *wire.Model) func(string) (*wire.Model, bool) {
	return func(name string) (*wire.Model, bool) { return m, name == m.Name }
}
