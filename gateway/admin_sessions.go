package gateway

import (
	"strings"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

// A sessionView is one log-in of a user: never a token's hash.
type sessionView struct {
	ID          string `json:"id"`
	User        string `json:"user"`
	Method      string `json:"method"`
	CreatedMS   int64  `json:"created_ms"`
	RefreshedMS int64  `json:"refreshed_ms"`
	ExpiresMS   int64  `json:"expires_ms"`
	From        string `json:"from"`
	Agent       string `json:"agent"`
	RevokedMS   int64  `json:"revoked_ms"`
	Reason      string `json:"reason"`
	Current     bool   `json:"current"` // it is the caller's
}

func (r *request) viewSession(s *wire.Session) sessionView {
	return sessionView{ID: s.GetId(), User: s.GetUser(), Method: s.GetMethod(), CreatedMS: s.GetCreatedMs(), RefreshedMS: s.GetRefreshedMs(),
		ExpiresMS: s.GetExpiresMs(), From: s.GetFrom(), Agent: s.GetAgent(), RevokedMS: s.GetRevokedMs(), Reason: s.GetReason(),
		Current: s.GetId() == r.who.Session}
}

// listSessions lists one user's, or those of all whom the caller may see. The
// order is that of users, and of sessions within, where it is of tenants.
func listSessions(r *request) error {
	read := r.g.cfg.State
	user, tenant := string(r.ctx.QueryArgs().Peek("user")), string(r.ctx.QueryArgs().Peek("tenant"))
	l := listing[*wire.Session, sessionView]{id: (*wire.Session).GetId, show: r.viewSession, sees: func(s *wire.Session) bool {
		u, _ := read.User(s.GetUser())
		return s.GetUser() == r.me() && r.me() != "" ||
			r.who.May(access.SessionsRead, access.Resource{Kind: access.KindSession, Name: s.GetId(), Tenant: u.GetTenant()})
	}}
	everywhere, tenants := r.who.Where(access.SessionsRead)
	if user == "" && !r.somewhere(access.SessionsRead) {
		user = r.me()
	}
	if tenant != "" {
		everywhere, tenants = false, []string{tenant}
	}
	switch {
	case user != "":
		return onePage(r, l, []walk[*wire.Session]{func(cursor string, limit int) ([]*wire.Session, string) { return read.SessionsOf(user, cursor, limit) }})
	case everywhere:
		return onePage(r, l, []walk[*wire.Session]{read.Sessions})
	}
	l.id = func(s *wire.Session) string { return s.GetUser() + "/" + s.GetId() }
	var from []walk[*wire.Session]
	for _, t := range tenants {
		from = append(from, r.g.sessionsIn(t))
	}
	return onePage(r, l, from)
}

// sessionsIn walks the sessions of a tenant's users. Cursors are USER/SESSION.
func (g *Gateway) sessionsIn(tenant string) walk[*wire.Session] {
	return func(cursor string, limit int) (page []*wire.Session, next string) {
		user, session, _ := strings.Cut(cursor, "/")
		add := func(user, after string) bool {
			part, more := g.cfg.State.SessionsOf(user, after, limit-len(page))
			page = append(page, part...)
			return more == "" && len(page) < limit
		}
		last := func() ([]*wire.Session, string) {
			end := page[len(page)-1]
			return page, end.GetUser() + "/" + end.GetId()
		}
		if session != "" && !add(user, session) {
			return last()
		}
		for {
			users, following := g.cfg.State.Users(tenant, user, usualPage)
			for _, u := range users {
				if !add(u.GetId(), "") {
					return last()
				}
			}
			if user = following; following == "" {
				return page, ""
			}
		}
	}
}

func endSession(r *request) error {
	id := r.param("id")
	s, _ := r.g.cfg.State.Session(id)
	if u, ok := r.g.cfg.State.User(s.GetUser()); ok && u.GetId() != r.me() {
		if err := r.overUser(u, "end that user's sessions"); err != nil {
			return err
		}
	}
	return r.end(id, "ended by "+r.who.Actor())
}

func (r *request) end(session, reason string) error {
	s, _ := r.g.cfg.State.Session(session)
	return r.revoke(session, r.g.tenantOf(s.GetUser()), &wire.Command{Body: &wire.Command_RevokeSession{RevokeSession: &wire.RevokeSession{Id: session, Reason: reason}}})
}

// tenantOf is the tenant by which a user is let in; empty: it is not known.
func (g *Gateway) tenantOf(user string) string {
	u, _ := g.cfg.State.User(user)
	return u.GetTenant()
}
