package models

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

const (
	reportTime  = 3 * time.Second // that a node may take to tell
	reportBytes = 16 << 20

	transfersTime = time.Second
)

// What is told has the form of the admin API.
type (
	Report   = gateway.NodeStorage
	Copy     = gateway.ModelCopy
	Transfer = gateway.ModelTransfer
	Verdict  = gateway.ModelCheck
	Fault    = gateway.ModelFault
	Doomed   = gateway.Removable
)

// Report tells what is here and on its way.
func (k *Keeper) Report() Report {
	o := k.cfg.Options()
	r := Report{Node: string(k.cfg.Self), Models: []Copy{}, Coming: []Transfer{}, Checks: k.verdicts(), Removable: []Doomed{}, Limit: o.Disk, Free: k.cfg.Store.Free()}
	held, err := k.cfg.Store.List()
	if err != nil {
		r.Error = err.Error()
	}
	for _, h := range held {
		r.Models = append(r.Models, Copy{Digest: hex.EncodeToString(h.Digest), Kind: string(h.Kind), Bytes: h.Bytes, UsedMS: h.Used.UnixMilli()})
		r.Used += h.Bytes
	}
	r.Coming = k.coming()
	return r
}

// coming is what is on its way here, and what failed to come.
func (k *Keeper) coming() []Transfer {
	out, flying := []Transfer{}, map[string]bool{}
	for _, f := range k.cfg.Fetcher.Flights() {
		flying[string(f.Model.GetDigest())] = true
		out = append(out, Transfer{
			Node: string(k.cfg.Self), Model: f.Model.GetName(), Digest: hex.EncodeToString(f.Model.GetDigest()), From: "nodes", Bytes: f.Here, Total: int64(f.Model.GetSize()),
			Rate: rateOf(f.Here-f.Before, time.Since(f.Began)), BeganMS: f.Began.UnixMilli(),
		})
	}
	for _, m := range k.cfg.View().Models {
		if err := k.cfg.Fetcher.Failed(m.GetDigest()); err != nil && !flying[string(m.GetDigest())] && !k.cfg.Store.Has(m.GetDigest()) {
			t := Transfer{Node: string(k.cfg.Self), Model: m.GetName(), Digest: hex.EncodeToString(m.GetDigest()), From: "nodes", Total: int64(m.GetSize())}
			t.Error, t.Hint = said(err)
			out = append(out, t)
		}
	}
	return append(out, k.pulling()...)
}

// Transfers are those of all living nodes. One that does not tell in time, or is of an
// older build, is left out.
func (k *Keeper) Transfers(ctx context.Context) []Transfer {
	out := k.coming()
	var mu sync.Mutex
	k.each(ctx, func(ctx context.Context, id spec.NodeID) {
		var there []Transfer
		if k.ask(ctx, http.MethodGet, id, "/coming", transfersTime, &there) != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		out = append(out, there...)
	})
	slices.SortStableFunc(out, func(a, b Transfer) int {
		return cmp.Or(compare(a.Model, b.Model), compare(a.Node, b.Node))
	})
	return out
}

func rateOf(bytes int64, took time.Duration) int64 {
	return int64(float64(bytes) / max(took.Seconds(), 0.001))
}

// said is an error as a person is told of it.
func said(err error) (message, hint string) {
	if e := asSpec(err); e != nil {
		return e.Message, e.Hint
	}
	return err.Error(), ""
}

// storage is a report with what may go, or with what it has removed.
func (k *Keeper) storage(ctx context.Context, dry bool) Report {
	gone, err := k.Collect(ctx, dry)
	r := k.Report()
	r.Removable = append(r.Removable, gone...)
	if err != nil {
		r.Error, _ = said(err)
	}
	return r
}

// Reports asks every living node what is there, this one first; one that does not tell has an error.
func (k *Keeper) Reports(ctx context.Context) []Report {
	return k.tell(ctx, k.Report(), http.MethodGet, "/held")
}

// Storage does so, and asks what may go.
func (k *Keeper) Storage(ctx context.Context) []Report {
	return k.tell(ctx, k.storage(ctx, true), http.MethodGet, "/storage")
}

// CollectAll has every living node remove what may go, and tells what went, or is still to go.
func (k *Keeper) CollectAll(ctx context.Context) []Report {
	return k.tell(ctx, k.storage(ctx, false), http.MethodPost, "/collect")
}

func (k *Keeper) tell(ctx context.Context, own Report, method, path string) []Report {
	out := []Report{own}
	var mu sync.Mutex
	k.each(ctx, func(ctx context.Context, id spec.NodeID) {
		r := Report{Models: []Copy{}, Coming: []Transfer{}, Checks: []Verdict{}, Removable: []Doomed{}}
		if err := k.ask(ctx, method, id, path, reportTime, &r); err != nil {
			r.Error, _ = said(err)
		}
		r.Node = string(id)
		mu.Lock()
		defer mu.Unlock()
		out = append(out, r)
	})
	slices.SortFunc(out[1:], func(a, b Report) int { return compare(a.Node, b.Node) })
	return out
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// each calls fn for every other living node, side by side, and waits.
func (k *Keeper) each(ctx context.Context, fn func(ctx context.Context, id spec.NodeID)) {
	var all sync.WaitGroup
	for _, id := range k.cfg.Others() {
		all.Go(func() { fn(ctx, id) })
	}
	all.Wait()
}

// ask calls another node's keeper. Its errors come back as they were.
func (k *Keeper) ask(ctx context.Context, method string, id spec.NodeID, path string, limit time.Duration, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+string(id)+path, nil)
	if err != nil {
		return err
	}
	resp, err := k.cfg.Client.Do(req)
	if err != nil {
		return fmt.Errorf("node %s does not answer: %w", id, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, reportBytes))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return json.Unmarshal(raw, out)
	}
	var no refusal
	if json.Unmarshal(raw, &no) == nil && no.Code != "" {
		return &spec.Error{Code: no.Code, Message: no.Message, Hint: no.Hint, Param: no.Param}
	}
	return spec.Errorf(spec.CodeUnsupported, "node %s answers %d: its build may be older", id, resp.StatusCode)
}

// segment is a model's name in a path.
func segment(name string) string { return url.PathEscape(name) }
