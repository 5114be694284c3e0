package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A view is the part of a node's status that tells whether the cluster is whole.
type view struct {
	Leader     string `json:"leader"`
	StateIndex uint64 `json:"state_index"`
	Nodes      []struct {
		ID    string `json:"id"`
		State string `json:"state"`
		Alive bool   `json:"alive"`
		Voter bool   `json:"voter"`
	} `json:"nodes"`
	Instances []struct {
		Deployment string `json:"deployment"`
		State      string `json:"state"`
		Reason     string `json:"reason"`
	} `json:"instances"`
}

// ready counts the ready instances of each deployment.
func (v view) ready() map[string]int {
	out := map[string]int{}
	for _, i := range v.Instances {
		if i.State == "ready" {
			out[i.Deployment]++
		}
	}
	return out
}

// voting counts the nodes that vote, by the node's own configuration.
func (v view) voting() int {
	out := 0
	for _, n := range v.Nodes {
		if n.Voter {
			out++
		}
	}
	return out
}

// unwhole says what the nodes' views lack, or "". Every node must see every
// other alive, the same leader, the instances that are wanted, and a state no
// older than atLeast.
func unwhole(ids []string, views []view, wanted map[string]int, atLeast uint64) string {
	for i, v := range views {
		alive := map[string]bool{}
		for _, n := range v.Nodes {
			alive[n.ID] = n.Alive
		}
		for _, id := range ids {
			if !alive[id] {
				return fmt.Sprintf("node %s does not see node %s alive", ids[i], id)
			}
		}
		switch {
		case v.Leader == "":
			return fmt.Sprintf("node %s knows no leader", ids[i])
		case v.Leader != views[0].Leader:
			return fmt.Sprintf("node %s follows %s, and node %s follows %s", ids[0], views[0].Leader, ids[i], v.Leader)
		case v.StateIndex < atLeast:
			return fmt.Sprintf("node %s is at state %d, and %d was seen before", ids[i], v.StateIndex, atLeast)
		}
		ready := v.ready()
		for deployment, n := range wanted {
			if ready[deployment] < n {
				return fmt.Sprintf("node %s sees %d of %d instances of %s ready", ids[i], ready[deployment], n, deployment)
			}
		}
	}
	return ""
}

// views asks every node for its status.
func (k *cluster) views(ctx context.Context, r *registry) ([]view, error) {
	out, errs := make([]view, len(k.nodes)), make([]error, len(k.nodes))
	var asking sync.WaitGroup
	for i, n := range k.nodes {
		asking.Go(func() {
			limited, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			p := r.call(limited, n, n.key, http.MethodGet, "/admin/v1/status", nil, 0)
			if p.err != nil || p.status != http.StatusOK {
				errs[i] = fmt.Errorf("node %s does not tell its status: %d %s %w", n.ID, p.status, p.code, p.err)
				return
			}
			errs[i] = json.Unmarshal(p.body, &out[i])
		})
	}
	asking.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// awaitWhole waits until the cluster is whole and the node can write. Its text
// says what was still missing at the limit, or "".
func (k *cluster) awaitWhole(ctx context.Context, r *registry, i int, wanted map[string]int, limit time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ids := make([]string, len(k.nodes))
	for j, n := range k.nodes {
		ids[j] = n.ID
	}
	atLeast := r.newest.Load()
	missing := "nothing was learnt of it"
	for {
		views, err := k.views(ctx, r)
		switch {
		case err == nil:
			missing = unwhole(ids, views, wanted, atLeast)
		case ctx.Err() == nil:
			missing = err.Error()
		}
		if missing == "" {
			limited, stop := context.WithTimeout(ctx, 2*time.Second)
			_, made := r.create(limited, k.nodes[i], -1)
			stop()
			if made.Result == Done {
				return ""
			}
			missing = fmt.Sprintf("node %s cannot write: %s %s", k.nodes[i].ID, made.Code, made.Detail)
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return missing
		}
	}
}
