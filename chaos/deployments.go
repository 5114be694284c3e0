package chaos

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// A way is how a read is held to be no older than what was acknowledged.
type way int

const (
	byIndex   way = iota // no older than the newest state that any client has seen
	byBarrier            // the node asks the leader
)

// at is what a request for such a read carries.
func (r *registry) at(w way) map[string]string {
	if w == byBarrier {
		return map[string]string{"X-LotaBots-Consistency": "linearizable"}
	}
	return map[string]string{"X-LotaBots-State-Index": itoa(r.newest.Load())}
}

// put makes the deployment what value says. It has no replicas: it is a record alone.
func (r *registry) put(ctx context.Context, nodes func() node, name, value string, client int) Op {
	body := map[string]any{"engine": "external", "options": map[string]string{"value": value}, "replicas": 0}
	return r.insist(ctx, nodes, Op{Op: OpPut, Client: client, Key: name, Value: value}, http.MethodPut, deploymentPath(name), body)
}

func (r *registry) drop(ctx context.Context, nodes func() node, name string, client int) Op {
	return r.insist(ctx, nodes, Op{Op: OpDrop, Client: client, Key: name}, http.MethodDelete, deploymentPath(name), nil)
}

func deploymentPath(name string) string { return "/admin/v1/deployments/" + url.PathEscape(name) }

// insistence is how often a write without a clear outcome is sent again.
const insistence = 4

// insist sends a write, and sends it again, elsewhere and under the same
// idempotency key, while its outcome is unknown: however often it came through,
// it was one write, between the first call and the last answer.
func (r *registry) insist(ctx context.Context, nodes func() node, o Op, method, path string, body any) Op {
	headers := map[string]string{"Idempotency-Key": rand.Text()}
	o.Begin, o.Result = r.history.Now(), Unknown
	for try := 0; try <= insistence && ctx.Err() == nil; try++ {
		n := nodes()
		o.Node = n.ID
		p := r.send(ctx, n, n.key, method, path, body, headers)
		result := p.of()
		if p.code == "not_found" && !(o.What == whatRole && o.Op == OpPut) { // what a role's put was to replace is gone: it did nothing
			result = Absent
		}
		o.Code = p.code
		o.explain(p)
		if result == Done || result == Absent || result == Refused && try == 0 {
			o.Result = result
			break
		}
		sleep(ctx, 100*time.Millisecond) // an earlier try may still be on its way
	}
	o.End = r.history.Now()
	r.history.Add(o)
	return o
}

// get reads the deployment's record.
func (r *registry) get(ctx context.Context, n node, name string, w way, client int) Op {
	o := Op{Op: OpGet, Client: client, Node: n.ID, Key: name, Begin: r.history.Now(), Result: Absent}
	var page struct {
		Data []struct {
			Name    string
			Options map[string]string
		}
	}
	// The page begins with what follows the cursor, which is all but the name's last letter.
	p := r.send(ctx, n, n.key, http.MethodGet, "/admin/v1/deployments?limit=20&cursor="+url.QueryEscape(name[:len(name)-1]), nil, r.at(w))
	if p.of() != Done || json.Unmarshal(p.body, &page) != nil {
		o.Result, o.Code = Unknown, p.code
		o.explain(p)
	}
	for _, d := range page.Data {
		if d.Name == name {
			o.Result, o.Value = Done, d.Options["value"]
		}
	}
	o.End = r.history.Now()
	r.history.Add(o)
	return o
}

// find reads one key's record, as read does, without reading all others.
func (r *registry) find(ctx context.Context, n node, k madeKey, w way, client int) Op {
	o := Op{Op: OpRead, Client: client, Node: n.ID, Key: k.id, Begin: r.history.Now(), Result: Absent}
	page, p := r.keysAfter(ctx, n, k.id[:len(k.id)-1], 64, r.at(w))
	if p.of() != Done {
		o.Result, o.Code = Unknown, p.code
		o.explain(p)
	}
	for _, row := range page.Data {
		if row.ID == k.id {
			o.Result = row.result()
		}
	}
	o.End = r.history.Now()
	r.history.Add(o)
	return o
}

// A keyRow is a key as a list shows it.
type keyRow struct {
	ID        string
	RevokedMS int64 `json:"revoked_ms"`
}

func (k keyRow) result() string {
	if k.RevokedMS != 0 {
		return Revoked
	}
	return Live
}

type keyPage struct {
	Data []keyRow
	Next string `json:"next_cursor"`
}

func (r *registry) keysAfter(ctx context.Context, n node, cursor string, limit uint64, headers map[string]string) (keyPage, reply) {
	var page keyPage
	p := r.send(ctx, n, n.key, http.MethodGet, "/admin/v1/keys?limit="+itoa(limit)+"&cursor="+url.QueryEscape(cursor), nil, headers)
	if p.of() == Done {
		if err := json.Unmarshal(p.body, &page); err != nil {
			p.err = err
		}
	}
	return page, p
}
