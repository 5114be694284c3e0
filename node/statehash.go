package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/storage/state"
)

const (
	hashMark   = 1024 // entries between two indexes at which every node hashes its state
	hashesKept = 32
	hashWait   = time.Second // that a hash at an index is waited for, which this node has still to reach
)

// A stateHash is the hash of the whole state at one index, as GET /hash tells it.
// Builds may encode records differently: only hashes of one build say something
// about each other.
type stateHash struct {
	Index uint64 `json:"index"`
	Hash  string `json:"hash"`
	Build string `json:"build"`

	marked bool // taken where every node takes one
}

// hashes hashes this node's copy of the state at indexes at which the others do
// so too: at the first entry after each multiple of hashMark, and, where nothing
// is written for a moment, wherever everybody is. It compares them with the
// others' in the background.
type hashes struct {
	build   string
	state   *state.Store
	log     *slog.Logger
	others  *http.Client
	asked   func() []spec.NodeID // whose copies count, this node's not among them
	leader  func() spec.NodeID
	self    spec.NodeID
	counts  bool          // this node's own copy counts
	every   time.Duration // between two comparisons
	anew    time.Duration // between two, though nothing was written
	wrong   atomic.Pointer[string]
	compare *prometheus.CounterVec

	walking sync.Mutex         // one hashing at a time
	marks   chan *state.Frozen // at most one
	pending atomic.Bool        // a mark was taken and is not hashed yet
	last    uint64             // index that the subscriber saw last; its own

	mu struct {
		sync.Mutex
		kept []stateHash // oldest first
	}
}

func newHashes(n *Node) *hashes {
	h := &hashes{
		build: n.version, state: n.state, log: n.log, others: n.port.Client("state"), asked: n.voters, leader: n.leaderNow, self: n.id,
		counts: n.has(spec.RoleVoter), every: 15 * time.Second, anew: 10 * time.Minute, marks: make(chan *state.Frozen, 1),
		compare: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_state_comparisons_total",
			Help: "Comparisons of this node's copy of the state with the voters' copies, by what they showed."}, []string{"result"}),
	}
	n.metrics.MustRegister(h.compare, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_state_divergence_bool",
		Help: "1 while this node's copy of the state is known to differ from the cluster's."}, func() float64 {
		if h.wrong.Load() != nil {
			return 1
		}
		return 0
	}))
	return h
}

// follow has the state hashed at its marks from here on, for as long as run runs.
func (h *hashes) follow() (unfollow func()) {
	h.last = h.state.Index()
	return h.state.Subscribe(h.mark)
}

// mark freezes the state where everybody does. It is called between two entries.
func (h *hashes) mark(c state.Change) {
	due := !c.Reset && c.Index/hashMark > h.last/hashMark
	h.last = c.Index
	if !due || !h.pending.CompareAndSwap(false, true) {
		return
	}
	f, err := h.state.Freeze()
	if err != nil {
		h.log.Warn("the state was not hashed", "index", c.Index, "error", err)
		h.pending.Store(false)
		return
	}
	h.marks <- f // there is room: nothing else is pending
}

// drain takes what is still being marked, and keeps anything more from being so.
func (h *hashes) drain() {
	for !h.pending.CompareAndSwap(false, true) {
		select {
		case f := <-h.marks:
			_ = f.Close()
			h.pending.Store(false)
		case <-time.After(time.Millisecond): // or it could not be frozen
		}
	}
}

// now hashes the state as it is.
func (h *hashes) now() (stateHash, error) {
	f, err := h.state.Freeze()
	if err != nil {
		return stateHash{}, err
	}
	return h.take(f, false)
}

// take hashes f, closes it, and remembers the hash.
func (h *hashes) take(f *state.Frozen, marked bool) (stateHash, error) {
	h.walking.Lock()
	defer h.walking.Unlock()
	defer func() { _ = f.Close() }() // it was only read
	index, err := f.Index()
	if err != nil {
		return stateHash{}, err
	}
	sum, err := f.Hash()
	if err != nil {
		return stateHash{}, err
	}
	out := stateHash{index, hex.EncodeToString(sum), h.build, marked}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.kept = append(slices.DeleteFunc(h.mu.kept, func(k stateHash) bool { return k.Index == index }), out)
	if over := len(h.mu.kept) - hashesKept; over > 0 {
		h.mu.kept = slices.Delete(h.mu.kept, 0, over)
	}
	return out, nil
}

// marked is the newest hash after that index that the others most likely have too.
func (h *hashes) marked(after uint64) (stateHash, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range slices.Backward(h.mu.kept) {
		if k.Index > after && k.marked {
			return k, true
		}
	}
	return stateHash{}, false
}

// at is the hash at that index, if this node has it or can make it.
func (h *hashes) at(ctx context.Context, index uint64) (stateHash, bool) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	for h.state.Index() < index {
		changed := h.state.Changed()
		if h.state.Index() >= index {
			break
		}
		select {
		case <-ctx.Done():
			return stateHash{}, false
		case <-changed:
		}
	}
	h.mu.Lock()
	for _, k := range h.mu.kept {
		if k.Index == index {
			h.mu.Unlock()
			return k, true
		}
	}
	h.mu.Unlock()
	if h.state.Index() != index {
		return stateHash{}, false
	}
	k, err := h.now()
	return k, err == nil && k.Index == index
}

// serve answers GET /hash?index=N, or 404 where this node cannot tell.
func (h *hashes) serve(w http.ResponseWriter, r *http.Request) {
	index, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if err != nil {
		http.Error(w, "index: want a number", http.StatusBadRequest)
		return
	}
	k, ok := h.at(r.Context(), index)
	if !ok {
		http.Error(w, "no hash at this index", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(k)
}

func (n *Node) startHashes(context.Context) error {
	n.hashes = newHashes(n)
	unfollow := n.hashes.follow()
	n.background("comparison of states", func(ctx context.Context) { n.hashes.run(ctx, unfollow) })
	return nil
}

func (n *Node) leaderNow() spec.NodeID {
	id, _ := n.leaderHint()
	return id
}
