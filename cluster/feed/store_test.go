package feed

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a state of settings with a window of its last entries.
type memory struct {
	keep int // entries in the window

	mu       sync.Mutex
	d        memoryData
	window   []*wire.Entry
	floor    uint64
	changed  chan struct{}
	applied  []uint64 // by ApplyEntry
	restored int
	written  int    // snapshots
	needs    uint64 // feature level
}

type memoryData struct {
	Index    uint64
	Settings map[string]string
	Padding  []byte // makes snapshots of several frames
}

func newMemory(keep int) *memory {
	return &memory{keep: keep, d: memoryData{Settings: map[string]string{}}, changed: make(chan struct{})}
}

// put applies a command as a Raft server would, at the next index but skip.
func (m *memory) put(name, value string, skip uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &wire.Command{Body: &wire.Command_PutSetting{PutSetting: &wire.PutSetting{Name: name, Value: value}}}
	raw, _ := proto.Marshal(c)
	e := &wire.Entry{Index: m.d.Index + 1 + skip, Command: raw}
	m.applyLocked(e)
	return e.Index
}

func (m *memory) applyLocked(e *wire.Entry) {
	c := &wire.Command{}
	if err := proto.Unmarshal(e.Command, c); err != nil {
		panic(err)
	}
	m.d.Settings[c.GetPutSetting().GetName()] = c.GetPutSetting().GetValue()
	m.d.Index = e.Index
	m.window = append(m.window, e)
	if len(m.window) > m.keep {
		m.floor = m.window[0].Index
		m.window = m.window[1:]
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) ApplyEntry(e *wire.Entry) (*wire.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Index <= m.d.Index {
		return nil, errors.New("out of order")
	}
	m.applied = append(m.applied, e.Index)
	m.applyLocked(e)
	return &wire.Result{Index: e.Index}, nil
}

func (m *memory) Index() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.d.Index
}

func (m *memory) Needs() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.needs
}

// need has the state hold something of that feature level from now on.
func (m *memory) need(level uint64) {
	m.mu.Lock()
	m.needs = level
	m.mu.Unlock()
	m.put("of a newer level", "1", 0)
}

func (m *memory) get(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.d.Settings[name]
}

func (m *memory) Entries(from uint64, most int) ([]*wire.Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from < m.floor {
		return nil, false
	}
	var out []*wire.Entry
	for _, e := range m.window {
		if e.Index > from && len(out) < most {
			out = append(out, e)
		}
	}
	return out, true
}

func (m *memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *memory) WriteSnapshot(w io.Writer) (uint64, error) {
	m.mu.Lock()
	m.written++
	d := m.d
	d.Settings = maps.Clone(d.Settings)
	m.mu.Unlock()
	return d.Index, gob.NewEncoder(w).Encode(d)
}

func (m *memory) ReadSnapshot(r io.Reader) error {
	d := memoryData{Settings: map[string]string{}}
	if err := gob.NewDecoder(r).Decode(&d); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Index > m.d.Index {
		m.d, m.window, m.floor = d, nil, d.Index
		m.restored++
	}
	return nil
}

func (m *memory) counts() (restored int, applied []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restored, append([]uint64(nil), m.applied...)
}

// hub is a Port: it finds servers by their id, and cuts them off.
type hub struct {
	mu      sync.Mutex
	servers map[string]string // id: address; empty: cut off
	client  *http.Client
}

func newHub(t *testing.T) *hub {
	h := &hub{servers: map[string]string{}}
	h.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, host string) (net.Conn, error) {
		h.mu.Lock()
		addr := h.servers[strings.TrimSuffix(host, ":80")]
		h.mu.Unlock()
		if addr == "" {
			return nil, errors.New("no route")
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}}
	t.Cleanup(h.client.CloseIdleConnections)
	return h
}

func (h *hub) Client(string) *http.Client { return h.client }

// serve lets id answer by handler; stop ends it in an instant.
func (h *hub) serve(t *testing.T, id string, handler http.Handler) (stop func()) {
	s := httptest.NewServer(handler)
	h.mu.Lock()
	h.servers[id] = s.Listener.Addr().String()
	h.mu.Unlock()
	stop = func() {
		h.mu.Lock()
		h.servers[id] = ""
		h.mu.Unlock()
		s.CloseClientConnections()
		s.Close()
	}
	t.Cleanup(stop)
	return stop
}

func (h *hub) follow(t *testing.T, m *memory, servers ...spec.NodeID) *Follower {
	f := Follow(Config{Port: h, Voters: func() []spec.NodeID { return servers }, Store: m, Level: 1})
	f.Start()
	t.Cleanup(func() { shutdown(t, f) })
	return f
}

func shutdown(t *testing.T, f *Follower) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, within time.Duration, said string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(within); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %s: %s", within, said)
		}
	}
}
