package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// What the operations of the test of access are done to.
const (
	whatKey     = "key"
	whatBinding = "binding"
	whatSession = "session"
	whatRole    = "role"
)

// A credential is something by which a request is let in, or allowed.
type credential struct {
	what, key string // as in operations
	text      string // API key or access token
	path      string // that it opens
}

// attempt writes one operation down. do sends it, and tells its outcome.
func (r *registry) attempt(o Op, do func(o *Op)) Op {
	o.Begin = r.history.Now()
	do(&o)
	o.End = r.history.Now()
	r.history.Add(o)
	return o
}

// enter uses the credential, with the patience of ctx.
func (r *registry) enter(ctx context.Context, n node, c credential, client int) Op {
	return r.attempt(Op{Op: OpUse, What: c.what, Client: client, Node: n.ID, Key: c.key}, func(o *Op) {
		p := r.sendWithin(ctx, n, c.text, http.MethodGet, c.path, nil, nil)
		o.Result, o.Code = Unknown, p.code
		switch {
		case p.err == nil && p.status == http.StatusOK:
			o.Result = Live
		case p.code == "revoked_api_key", p.code == "session_ended", p.code == "permission_denied":
			o.Result = Revoked
		case p.code == "invalid_api_key":
			o.Result = Absent
		case p.code == "state_too_old":
			o.Result = Closed
		}
		o.explain(p)
	})
}

// take sends what takes access away, and notes whom its answer names.
func (r *registry) take(ctx context.Context, n node, o Op, path string) Op {
	o.Node = n.ID
	return r.attempt(o, func(o *Op) {
		p := r.call(ctx, n, n.key, http.MethodDelete, path, nil, 0)
		o.Result, o.Code = p.of(), p.code
		if p.code == "not_found" {
			o.Result = Absent
		}
		var told struct {
			Closing []struct {
				Node   string
				Closes int64 `json:"closes_ms"`
			}
		}
		if o.Result == Done && json.Unmarshal(p.body, &told) == nil {
			o.Closing = closings{}
			for _, c := range told.Closing {
				o.Closing[c.Node] = r.history.at(c.Closes)
			}
		}
		o.explain(p)
	})
}

// makeKey creates a key of the test's tenant that may use models.
func (r *registry) makeKey(ctx context.Context, n node, name string, client int) (credential, Op) {
	return r.makeKeyOf(ctx, n, accessTenant, name, client)
}

func (r *registry) makeKeyOf(ctx context.Context, n node, tenant, name string, client int) (credential, Op) {
	var made struct{ ID, Key string }
	o := r.attempt(Op{Op: OpCreate, What: whatKey, Client: client, Node: n.ID, Value: keyValue(name, 0)}, func(o *Op) {
		p := r.call(ctx, n, n.key, http.MethodPost, "/admin/v1/keys", map[string]any{"name": name, "tenant": tenant, "scopes": []string{"infer"}}, 0)
		o.Result, o.Code = p.of(), p.code
		if o.Result == Done && (json.Unmarshal(p.body, &made) != nil || made.ID == "" || made.Key == "") {
			o.Result, o.Detail = Unknown, "the answer has no key"
		}
		o.Key = made.ID
		o.explain(p)
	})
	return credential{whatKey, made.ID, made.Key, "/v1/models"}, o
}

// keyValue is what a key's record says that can be changed.
func keyValue(name string, perMinute int) string { return name + "/" + strconv.Itoa(perMinute) }

// changeKey changes one field alone; value is FIELD=VALUE.
func (r *registry) changeKey(ctx context.Context, n node, id, field string, to any, value string, client int) Op {
	return r.attempt(Op{Op: OpChange, What: whatKey, Client: client, Node: n.ID, Key: id, Value: value}, func(o *Op) {
		p := r.call(ctx, n, n.key, http.MethodPatch, "/admin/v1/keys/"+id, map[string]any{field: to}, 0)
		o.Result, o.Code = p.of(), p.code
		o.explain(p)
	})
}

func (r *registry) readKey(ctx context.Context, n node, id string, w way, client int) Op {
	return r.attempt(Op{Op: OpRead, What: whatKey, Client: client, Node: n.ID, Key: id}, func(o *Op) {
		var row struct {
			Name      string
			PerMinute int   `json:"requests_per_minute"`
			RevokedMS int64 `json:"revoked_ms"`
		}
		p := r.send(ctx, n, n.key, http.MethodGet, "/admin/v1/keys/"+id, nil, r.at(w))
		switch {
		case p.code == "not_found":
			o.Result = Absent
		case p.of() != Done || json.Unmarshal(p.body, &row) != nil:
			o.Result, o.Code = Unknown, p.code
		case row.RevokedMS != 0:
			o.Result = Revoked
		default:
			o.Result, o.Value = Live, keyValue(row.Name, row.PerMinute)
		}
		o.explain(p)
	})
}

// bind gives the user the role in the tenant.
func (r *registry) bind(ctx context.Context, n node, user, role string, client int) Op {
	return r.attempt(Op{Op: OpCreate, What: whatBinding, Client: client, Node: n.ID, Key: user + " " + role}, func(o *Op) {
		var made struct{ ID string }
		p := r.call(ctx, n, n.key, http.MethodPost, "/admin/v1/bindings", map[string]any{"subject": "user:" + user, "role": role, "tenant": accessTenant}, 0)
		o.Result, o.Code = p.of(), p.code
		if o.Result == Done && (json.Unmarshal(p.body, &made) != nil || made.ID == "") {
			o.Result, o.Detail = Unknown, "the answer has no binding"
		}
		o.Value = made.ID
		o.explain(p)
	})
}

func (r *registry) readBinding(ctx context.Context, n node, user, role string, w way, client int) Op {
	return r.attempt(Op{Op: OpRead, What: whatBinding, Client: client, Node: n.ID, Key: user + " " + role, Result: Done}, func(o *Op) {
		var page struct{ Data []struct{ ID, Role string } }
		p := r.send(ctx, n, n.key, http.MethodGet, "/admin/v1/bindings?limit=100&subject=user:"+url.QueryEscape(user), nil, r.at(w))
		if p.of() != Done || json.Unmarshal(p.body, &page) != nil {
			o.Result, o.Code = Unknown, p.code
			o.explain(p)
		}
		for _, b := range page.Data {
			if b.Role == role {
				o.Value = b.ID
			}
		}
	})
}

// Roles are registers, as deployments are; the value is the description.

func rolePath(id string) string { return "/admin/v1/roles/" + id }

func (r *registry) getRole(ctx context.Context, n node, id string, w way, client int) Op {
	return r.attempt(Op{Op: OpGet, What: whatRole, Client: client, Node: n.ID, Key: id, Result: Absent}, func(o *Op) {
		var page struct {
			Data []struct{ ID, Description string }
		}
		p := r.send(ctx, n, n.key, http.MethodGet, "/admin/v1/roles?limit=20&cursor="+url.QueryEscape(id[:len(id)-1]), nil, r.at(w))
		if p.of() != Done || json.Unmarshal(p.body, &page) != nil {
			o.Result, o.Code = Unknown, p.code
			o.explain(p)
		}
		for _, d := range page.Data {
			if d.ID == id {
				o.Result, o.Value = Done, d.Description
			}
		}
	})
}
