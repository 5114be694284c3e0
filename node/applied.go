package node

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// appliedLimit is how long a write waits to be in force everywhere before its
// answer names the nodes that lag.
const appliedLimit = time.Second

// serveApplied answers 200 once this node has applied the entry ?index=N, or
// 409 when the caller's patience ends first.
func (n *Node) serveApplied(w http.ResponseWriter, r *http.Request) {
	index, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if err != nil {
		http.Error(w, "index: want a number", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), appliedLimit)
	defer cancel()
	for n.state.Index() < index {
		select {
		case <-ctx.Done():
			http.Error(w, "not applied yet", http.StatusConflict)
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
	w.WriteHeader(http.StatusOK)
}

// awaitApplied asks every living member, and returns the members that have not
// said in time that they have applied the entry; of those that do not answer to
// gossip it is known at once.
func (n *Node) awaitApplied(ctx context.Context, index uint64) []spec.NodeID {
	ctx, cancel := context.WithTimeout(ctx, appliedLimit)
	defer cancel()
	var (
		mu      sync.Mutex
		lagging []spec.NodeID
		asking  sync.WaitGroup
	)
	client := n.port.Client("state")
	alive := map[spec.NodeID]bool{n.id: true}
	for _, m := range n.gossip.Members() {
		if m.ID == n.id {
			continue
		}
		alive[m.ID] = true
		asking.Go(func() {
			if !askApplied(ctx, client, m.ID, index) {
				mu.Lock()
				lagging = append(lagging, m.ID)
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	for _, r := range n.state.Nodes() {
		if id := spec.NodeID(r.GetId()); !alive[id] && r.GetState() != wire.NodeState_NODE_STATE_REMOVED {
			lagging = append(lagging, id)
		}
	}
	slices.Sort(lagging)
	return lagging
}

func askApplied(ctx context.Context, client *http.Client, id spec.NodeID, index uint64) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(id)+"/applied?index="+strconv.FormatUint(index, 10), nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}
