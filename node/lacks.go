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

// askLacking is lacking of the leader. Without its answer there are no reasons to
// show: the rest of a status is worth having all the same.
func (n *Node) askLacking(ctx context.Context, leader spec.NodeID) []gateway.LackStatus {
	if leader == n.id || leader == "" {
		return n.lacking()
	}
	out := []gateway.LackStatus{}
	ctx, cancel := context.WithTimeout(ctx, lacksLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(leader)+"/lacking", nil)
	if err != nil {
		return out
	}
	answer, err := n.port.Client("state").Do(r)
	if err != nil {
		n.log.Info("the leader did not say why replicas are missing", "leader", leader, "error", err)
		return out
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return out
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, lacksBytes)).Decode(&out); err != nil {
		return []gateway.LackStatus{}
	}
	return out
}
