package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// A registry drives the cluster's key registry and remembers the newest state
// that any client has seen: a read asks for that state or a newer one.
type registry struct {
	history *History
	web     *http.Client
	newest  atomic.Uint64
}

const keyPatience = 10 * time.Second

// A reply is an answer of the admin API.
type reply struct {
	status int
	body   []byte
	code   string
	err    error
}

func (r *registry) call(ctx context.Context, n node, key, method, path string, body any, atLeast uint64) reply {
	headers := map[string]string{}
	if atLeast > 0 {
		headers["X-LotaBots-State-Index"] = strconv.FormatUint(atLeast, 10)
	}
	return r.send(ctx, n, key, method, path, body, headers)
}

func (r *registry) send(ctx context.Context, n node, key, method, path string, body any, headers map[string]string) reply {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	return r.sendWithin(ctx, n, key, method, path, body, headers)
}

// sendWithin is send with the patience of ctx. An empty key sends none.
func (r *registry) sendWithin(ctx context.Context, n node, key, method, path string, body any, headers map[string]string) reply {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return reply{err: err}
		}
		sent = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, n.API+path, sent)
	if err != nil {
		return reply{err: err}
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if sent != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := r.web.Do(request)
	if err != nil {
		return reply{err: err}
	}
	defer answer.Body.Close()
	out := reply{status: answer.StatusCode}
	if out.body, out.err = io.ReadAll(io.LimitReader(answer.Body, 8<<20)); out.err != nil {
		return out
	}
	if out.status >= 400 {
		out.code = readProblem(bytes.NewReader(out.body)).Code
		return out
	}
	if index, err := strconv.ParseUint(answer.Header.Get("X-LotaBots-State-Index"), 10, 64); err == nil {
		r.saw(index)
	}
	return out
}

// saw raises newest.
func (r *registry) saw(index uint64) {
	for {
		old := r.newest.Load()
		if index <= old || r.newest.CompareAndSwap(old, index) {
			return
		}
	}
}

// of names the result of a write.
func (p reply) of() string {
	switch {
	case p.err != nil && missed(p.err) == NoConnect:
		return Refused
	case p.err != nil:
		return Unknown
	case p.status < 300:
		return Done
	case p.code == "outcome_unknown" || p.code == "internal" || p.code == "deadline_exceeded" || p.code == "":
		return Unknown
	}
	return Refused
}

// A madeKey is a key whose creation was acknowledged.
type madeKey struct{ id, text string }

func (r *registry) create(ctx context.Context, n node, client int) (madeKey, Op) {
	o := Op{Op: OpCreate, Client: client, Node: n.ID, Begin: r.history.Now()}
	p := r.call(ctx, n, n.key, http.MethodPost, "/admin/v1/keys", map[string]any{"name": "chaos-" + rand.Text(), "scopes": []string{"infer"}}, 0)
	o.End, o.Result, o.Code = r.history.Now(), p.of(), p.code
	var made struct{ ID, Key string }
	if o.Result == Done && (json.Unmarshal(p.body, &made) != nil || made.ID == "" || made.Key == "") {
		o.Result, o.Detail = Unknown, "the answer has no key: "+clip(string(p.body))
	}
	o.Key = made.ID
	o.explain(p)
	r.history.Add(o)
	return madeKey{made.ID, made.Key}, o
}

func (r *registry) revoke(ctx context.Context, n node, k madeKey, client int) Op {
	o := Op{Op: OpRevoke, Client: client, Node: n.ID, Key: k.id, Begin: r.history.Now()}
	p := r.call(ctx, n, n.key, http.MethodDelete, "/admin/v1/keys/"+k.id, nil, 0)
	o.End, o.Result, o.Code = r.history.Now(), p.of(), p.code
	if p.code == "not_found" {
		o.Result = Absent
	}
	var told struct{ Lagging []string }
	if o.Result == Done && json.Unmarshal(p.body, &told) == nil {
		o.Lagging = told.Lagging
	}
	o.explain(p)
	r.history.Add(o)
	return o
}

// read looks the key's record up in a state no older than what was seen before.
func (r *registry) read(ctx context.Context, n node, k madeKey, client int) Op {
	o := Op{Op: OpRead, Client: client, Node: n.ID, Key: k.id, Begin: r.history.Now(), Result: Absent}
	atLeast := r.newest.Load()
	for cursor := ""; ; {
		p := r.call(ctx, n, n.key, http.MethodGet, "/admin/v1/keys?limit=1000&cursor="+cursor, nil, atLeast)
		var page struct {
			Data []struct {
				ID        string
				RevokedMS int64 `json:"revoked_ms"`
			}
			Next string `json:"next_cursor"`
		}
		if p.of() != Done || json.Unmarshal(p.body, &page) != nil {
			o.Result, o.Code = Unknown, p.code
			o.explain(p)
			break
		}
		for _, row := range page.Data {
			if row.ID == k.id && row.RevokedMS != 0 {
				o.Result = Revoked
			} else if row.ID == k.id {
				o.Result = Live
			}
		}
		if cursor = page.Next; cursor == "" || o.Result != Absent {
			break
		}
	}
	o.End = r.history.Now()
	r.history.Add(o)
	return o
}

// use identifies with the key.
func (r *registry) use(ctx context.Context, n node, k madeKey, client int) Op {
	o := Op{Op: OpUse, Client: client, Node: n.ID, Key: k.id, Begin: r.history.Now()}
	p := r.call(ctx, n, k.text, http.MethodGet, "/v1/models", nil, 0)
	o.End, o.Code = r.history.Now(), p.code
	switch {
	case p.err == nil && p.status == http.StatusOK:
		o.Result = Live
	case p.code == "revoked_api_key":
		o.Result = Revoked
	case p.code == "invalid_api_key":
		o.Result = Absent
	default:
		o.Result = Unknown
	}
	o.explain(p)
	r.history.Add(o)
	return o
}

func (o *Op) explain(p reply) {
	if p.err != nil && o.Detail == "" {
		o.Detail = p.err.Error()
	}
}
