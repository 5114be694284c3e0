package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/usage"
)

// Bounds of asking gateways for records of usage.
const (
	recordsLimit   = 10 * time.Second // for a gateway's answer
	recordsAnswer  = 8 << 20          // of it, in bytes
	recordsAtATime = 16               // gateways asked at once
	recordsPage    = 1000             // of one gateway
)

// A recordsQuestion is what one node asks another; the answer is a recordsAnswered.
type recordsQuestion struct {
	Query  gateway.RecordQuery
	Before uint64
}

type recordsAnswered struct {
	Numbers []uint64
	Records [][]byte // UsageRecord
	Next    uint64
}

// records implements gateway.UsageRecords.
type records struct{ n *Node }

// Records asks the living gateways. Of one that is dead, its records are silent: they are on its disk.
func (r records) Records(ctx context.Context, q gateway.RecordQuery, asked func(spec.NodeID) (uint64, bool)) (found []gateway.FoundRecords, silent []spec.NodeID) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	room := make(chan struct{}, recordsAtATime)
	for id, alive := range r.n.keepers() {
		before, ok := asked(id)
		if !ok {
			continue
		}
		if !alive {
			mu.Lock()
			silent = append(silent, id)
			mu.Unlock()
			continue
		}
		room <- struct{}{}
		asking.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, recordsLimit)
			defer cancel()
			one, err := r.n.recordsOf(ctx, id, recordsQuestion{q, before})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				r.n.log.Info("a gateway does not tell its records of usage", "gateway", id, "error", err)
				silent = append(silent, id)
			case one != nil:
				at, _ := slices.BinarySearchFunc(found, one.Gateway, func(f gateway.FoundRecords, id spec.NodeID) int { return cmp.Compare(f.Gateway, id) })
				found = gateway.NewestRecords(slices.Insert(found, at, *one), q.Limit)
			}
		})
	}
	asking.Wait()
	slices.Sort(silent)
	return found, silent
}

// keepers are the gateways that may have records, and whether they are alive: the members of that role,
// and those of which the state has a ledger and that were not removed.
func (n *Node) keepers() map[spec.NodeID]bool {
	all := map[spec.NodeID]bool{}
	for _, l := range n.state.UsageLedgers() {
		if node, ok := n.state.Node(l.GetGateway()); ok && node.GetState() != wire.NodeState_NODE_STATE_REMOVED {
			all[spec.NodeID(l.GetGateway())] = n.alive(spec.NodeID(l.GetGateway()))
		}
	}
	for _, m := range n.gossip.Members() {
		if slices.Contains(m.Roles, spec.RoleGateway) {
			all[m.ID] = true
		}
	}
	if n.ledger.Load() != nil {
		all[n.id] = true
	}
	return all
}

// recordsOf asks one gateway; nil: it keeps none.
func (n *Node) recordsOf(ctx context.Context, id spec.NodeID, q recordsQuestion) (*gateway.FoundRecords, error) {
	var a *recordsAnswered
	var err error
	if id == n.id {
		a, err = n.findRecords(ctx, q)
	} else {
		a, err = askRecords(ctx, n.port.Client("state"), id, q)
	}
	if err != nil || a == nil {
		return nil, err
	}
	out := &gateway.FoundRecords{Gateway: id, Next: a.Next}
	if len(a.Numbers) != len(a.Records) {
		return nil, fmt.Errorf("%d records have %d numbers", len(a.Records), len(a.Numbers))
	}
	for i, raw := range a.Records {
		u := &wire.UsageRecord{}
		if err := proto.Unmarshal(raw, u); err != nil {
			return nil, err
		}
		out.Records = append(out.Records, gateway.FoundRecord{Number: a.Numbers[i], Record: u})
	}
	return out, nil
}

func (n *Node) findRecords(ctx context.Context, q recordsQuestion) (*recordsAnswered, error) {
	ledger := n.ledger.Load()
	if ledger == nil {
		return nil, nil
	}
	found, next, err := ledger.Find(ctx, usage.Query{RecordFilter: q.Query.RecordFilter, Before: q.Before, Limit: min(max(q.Query.Limit, 1), recordsPage)})
	if err != nil {
		return nil, err
	}
	a := &recordsAnswered{Next: next}
	for _, f := range found {
		raw, err := proto.Marshal(f.Record)
		if err != nil {
			return nil, err
		}
		a.Numbers, a.Records = append(a.Numbers, f.Number), append(a.Records, raw)
	}
	return a, nil
}

// serveRecords answers another node.
func (n *Node) serveRecords(w http.ResponseWriter, r *http.Request) {
	var q recordsQuestion
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		http.Error(w, "the question could not be read", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), recordsLimit)
	defer cancel()
	a, err := n.findRecords(ctx, q)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case a == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		_ = json.NewEncoder(w).Encode(a)
	}
}

// askRecords asks another node; nil: it keeps none. One of an older build does not know the question.
func askRecords(ctx context.Context, client *http.Client, id spec.NodeID, q recordsQuestion) (*recordsAnswered, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(id)+"/usage-records", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return nil, nil
	default:
		return nil, fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	a := &recordsAnswered{}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, recordsAnswer))
	if err != nil {
		return nil, err
	}
	return a, json.Unmarshal(raw, a)
}
