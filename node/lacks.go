package node

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

const (
	lacksLimit = 500 * time.Millisecond // how long a status waits for the leader's word
	lacksBytes = 1 << 20
)

// lacking is why replicas have no place, each reason once. Only the leader knows:
// of other nodes the list is empty.
func (n *Node) lacking() []gateway.LackStatus {
	out := []gateway.LackStatus{}
	if n.loop == nil {
		return out
	}
	for _, a := range n.loop.Unplaced() {
		if l := (gateway.LackStatus{Deployment: a.Deployment, Version: a.Version, Reason: a.Reason}); !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

func (n *Node) serveLacking(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(n.lacking()) // an answer that is cut off does not decode
}

// scaling is what the leader wants of deployments that are scaled; empty on others.
func (n *Node) scaling() []gateway.ScaleStatus {
	out := []gateway.ScaleStatus{}
	if n.loop == nil {
		return out
	}
	for _, s := range n.loop.Scales() {
		out = append(out, gateway.ScaleStatus{Deployment: s.Deployment, Min: s.Min, Max: s.Max, Wanted: s.Wanted, Ready: s.Ready,
			Reason: string(s.Reason), Because: s.Text})
	}
	return out
}

func (n *Node) serveScaling(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(n.scaling())
}

// askLacking is lacking of the leader, and askScaling its scaling.
func (n *Node) askLacking(ctx context.Context, leader spec.NodeID) []gateway.LackStatus {
	return askLeader(ctx, n, leader, "/lacking", n.lacking)
}

func (n *Node) askScaling(ctx context.Context, leader spec.NodeID) []gateway.ScaleStatus {
	return askLeader(ctx, n, leader, "/scaling", n.scaling)
}

// askLeader asks for what the leader alone knows. Without its answer, or where it is of a
// build that does not know the question, there is nothing to show: the rest of a status is
// worth having all the same.
func askLeader[T any](ctx context.Context, n *Node, leader spec.NodeID, path string, own func() []T) []T {
	if leader == n.id || leader == "" {
		return own()
	}
	out := []T{}
	ctx, cancel := context.WithTimeout(ctx, lacksLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(leader)+path, nil)
	if err != nil {
		return out
	}
	answer, err := n.port.Client("state").Do(r)
	if err != nil {
		n.log.Info("the leader did not tell what it alone knows", "leader", leader, "question", path, "error", err)
		return out
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return out
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, lacksBytes)).Decode(&out); err != nil {
		return []T{}
	}
	return out
}
