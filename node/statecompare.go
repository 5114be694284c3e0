package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// run hashes and compares until ctx ends.
func (h *hashes) run(ctx context.Context, unfollow func()) {
	defer h.drain()
	defer unfollow()
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	var compared uint64
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-h.marks:
			_, _ = h.take(f, true)
			h.pending.Store(false)
		case <-tick.C:
			if h.state.Index() == compared && time.Since(at) < h.anew {
				continue
			}
			if mine, err := h.now(); err != nil {
				h.log.Warn("the state was not hashed", "error", err)
			} else if h.against(ctx, mine) {
				compared, at = mine.Index, time.Now()
			} else if m, ok := h.marked(compared); ok && h.against(ctx, m) {
				compared, at = m.Index, time.Now()
			}
		}
	}
}

// sound says why nobody should read this node's copy of the state, or nil.
func (h *hashes) sound() error {
	if why := h.wrong.Load(); why != nil {
		return spec.Errorf(spec.CodeStateDiverged, "%s", *why)
	}
	return nil
}

// diverged is sound's reason, or "".
func (h *hashes) diverged() string {
	if why := h.wrong.Load(); why != nil {
		return *why
	}
	return ""
}

// against compares mine with the voters' hashes at the same index, and tells
// whether any of them has one.
func (h *hashes) against(ctx context.Context, mine stateHash) bool {
	answers := h.askAll(ctx, mine.Index)
	if len(answers) == 0 {
		h.compare.WithLabelValues("no_answer").Inc()
		return false
	}
	differs := outvoted(mine.Hash, h.self, h.counts, h.leader(), answers)
	if len(differs) == 0 {
		h.compare.WithLabelValues("equal").Inc()
		if h.wrong.Swap(nil) != nil {
			h.log.Info("this node's copy of the state is as the cluster's again", "index", mine.Index)
		}
		return true
	}
	h.compare.WithLabelValues("different").Inc()
	why := fmt.Sprintf("At index %d this node's copy of the state differs from that of %s.", mine.Index, strings.Join(differs, ", "))
	if h.wrong.Swap(&why) == nil {
		h.log.Error("this node's copy of the state is not the cluster's: it answers no admin reads", "index", mine.Index, "hash", mine.Hash, "others", differs)
	}
	return true
}

// outvoted names the nodes whose state at one index is the same among them and
// another than mine, if they are more than those who have mine. Where they are as
// many, the leader's word counts. A node whose own copy does not count, counts is
// false, has no voice in that.
func outvoted(mine string, self spec.NodeID, counts bool, leader spec.NodeID, answers map[spec.NodeID]string) []string {
	like := map[string][]string{}
	for id, hash := range answers {
		like[hash] = append(like[hash], string(id))
	}
	same := len(like[mine])
	if counts {
		same++
	}
	var out []string
	for hash, ids := range like {
		more := len(ids) > same || len(ids) == same && leader != self && answers[leader] == hash
		if hash != mine && more && len(ids) > len(out) {
			out = ids
		}
	}
	slices.Sort(out)
	return out
}

// askAll asks all voters for their hash at the index. Those who have none, or
// another build, are not among the answers.
func (h *hashes) askAll(ctx context.Context, index uint64) map[spec.NodeID]string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var (
		mu     sync.Mutex
		out    = map[spec.NodeID]string{}
		asking sync.WaitGroup
	)
	for _, id := range h.asked() {
		asking.Go(func() {
			k, err := h.ask(ctx, id, index)
			if err != nil || k.Index != index || k.Build != h.build {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = k.Hash
		})
	}
	asking.Wait()
	return out
}

func (h *hashes) ask(ctx context.Context, id spec.NodeID, index uint64) (stateHash, error) {
	var k stateHash
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(id)+"/hash?index="+strconv.FormatUint(index, 10), nil)
	if err != nil {
		return k, err
	}
	answer, err := h.others.Do(r)
	if err != nil {
		return k, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return k, fmt.Errorf("node %s answers %s", id, answer.Status)
	}
	return k, json.NewDecoder(io.LimitReader(answer.Body, 4<<10)).Decode(&k)
}
