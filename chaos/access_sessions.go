package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// tokens are those of one session.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Session string
	User    string
}

func (t tokens) credential() credential {
	return credential{whatSession, t.Session, t.Access, "/auth/v1/whoami"}
}

func (r *registry) login(ctx context.Context, n node, name, password string, client int) (tokens, Op) {
	var granted tokens
	o := r.attempt(Op{Op: OpCreate, What: whatSession, Client: client, Node: n.ID}, func(o *Op) {
		p := r.send(ctx, n, "", http.MethodPost, "/auth/v1/login", map[string]any{"name": name, "password": password}, nil)
		o.Result, o.Code = p.of(), p.code
		if o.Result == Done && (json.Unmarshal(p.body, &granted) != nil || granted.Session == "" || granted.Access == "" || granted.Refresh == "") {
			o.Result, o.Detail = Unknown, "the answer has no session"
		}
		o.Key, o.Value = granted.Session, granted.User
		o.explain(p)
	})
	return granted, o
}

// refresh exchanges a refresh token: by OpRefresh the session's newest, by OpReuse
// one that had its turn.
func (r *registry) refresh(ctx context.Context, n node, what string, session, token string, client int) (tokens, Op) {
	var granted tokens
	o := r.attempt(Op{Op: what, What: whatSession, Client: client, Node: n.ID, Key: session}, func(o *Op) {
		p := r.send(ctx, n, "", http.MethodPost, "/auth/v1/refresh", map[string]any{"refresh_token": token}, nil)
		o.Result, o.Code = p.of(), p.code
		switch p.code {
		case "refresh_token_reused", "session_ended":
			o.Result = Revoked
		case "invalid_refresh_token":
			o.Result = Absent
		case "too_many_failures": // which hides what became of it
			o.Result = Unknown
		}
		if o.Result == Done && json.Unmarshal(p.body, &granted) != nil {
			o.Result = Unknown
		}
		o.explain(p)
	})
	return granted, o
}

// readSession reads the session's record. Sessions that ended long ago are forgotten.
func (r *registry) readSession(ctx context.Context, n node, user, session string, w way, client int) Op {
	return r.attempt(Op{Op: OpRead, What: whatSession, Client: client, Node: n.ID, Key: session, Result: Absent}, func(o *Op) {
		var page struct{ Data []keyRow }
		// The page begins with what follows the cursor, which is all but the id's last letter.
		p := r.send(ctx, n, n.key, http.MethodGet, "/admin/v1/sessions?limit=64&user="+url.QueryEscape(user)+"&cursor="+url.QueryEscape(session[:len(session)-1]), nil, r.at(w))
		if p.of() != Done || json.Unmarshal(p.body, &page) != nil {
			o.Result, o.Code = Unknown, p.code
			o.explain(p)
		}
		for _, row := range page.Data {
			if row.ID == session {
				o.Result = row.result()
			}
		}
	})
}
