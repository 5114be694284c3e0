package state

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	// refreshAgain is for how long the last refresh may be told again, by the proposers' clocks.
	refreshAgain = 10 * time.Second
	// sessionKept is for how long a session that has ended is known.
	sessionKept = 24 * time.Hour
)

// putSession opens a session of a user who may log in.
func (t *tx) putSession(c *wire.Session) *wire.Result {
	for _, n := range []struct{ field, name string }{{"the session's id", c.GetId()}, {"the session's user", c.GetUser()}} {
		if bad := checkName(n.field, n.name); bad != nil {
			return bad
		}
	}
	for _, n := range []struct{ field, text string }{{"the session's address", c.GetFrom()}, {"the session's agent", c.GetAgent()}, {"the session's method", c.GetMethod()}} {
		if bad := checkText(n.field, n.text); bad != nil {
			return bad
		}
	}
	if len(c.GetFamilyHash()) != hashBytes || len(c.GetRefreshHash()) != hashBytes {
		return refuse(spec.CodeInvalidRequest, "the session's hashes have %d and %d bytes and must have %d", len(c.GetFamilyHash()), len(c.GetRefreshHash()), hashBytes)
	}
	if c.GetExpiresMs() <= t.at {
		return refuse(spec.CodeInvalidRequest, "the session would have expired when it begins")
	}
	if _, ok := sessions.get(t.view, c.GetId()); ok {
		return refuse(spec.CodeAlreadyExists, "there is a session %s already", c.GetId())
	}
	switch u, ok := users.get(t.view, c.GetUser()); {
	case !ok:
		return refuse(spec.CodeNotFound, "there is no user %q", c.GetUser())
	case u.GetDisabledMs() != 0:
		return refuse(spec.CodeUserDisabled, "user %s is disabled", u.GetName())
	}
	if c.GetCreatedMs() == 0 {
		c.CreatedMs = t.at
	}
	if c.GetRefreshedMs() == 0 {
		c.RefreshedMs = t.at
	}
	c.Generation, c.PreviousHash, c.RevokedMs, c.Reason = 1, nil, 0, ""
	t.keepSession(c)
	t.forgetSessions()
	return done(c.Generation)
}

// refreshSession exchanges the newest refresh token of a session for the next. A
// token of the session that is not the newest is used a second time: whoever has
// it may not be who logged in, so the session ends. The last exchange told again
// is none such; it is answered as it was, for an answer may be lost.
func (t *tx) refreshSession(c *wire.RefreshSession) *wire.Result {
	if len(c.GetTokenHash()) != hashBytes || len(c.GetNextHash()) != hashBytes || bytes.Equal(c.GetTokenHash(), c.GetNextHash()) {
		return refuse(spec.CodeInvalidRequest, "the refresh must have two hashes of %d bytes that differ", hashBytes)
	}
	for _, n := range []struct{ field, text string }{{"the session's address", c.GetFrom()}, {"the session's agent", c.GetAgent()}} {
		if bad := checkText(n.field, n.text); bad != nil {
			return bad
		}
	}
	s, ok := sessions.get(t.view, c.GetId())
	switch {
	case !ok || !bytes.Equal(s.GetFamilyHash(), c.GetFamilyHash()):
		return refuse(spec.CodeInvalidRefresh, "there is no session %q with that refresh token", c.GetId())
	case s.GetRevokedMs() != 0:
		return refuse(spec.CodeSessionEnded, "the session has ended: %s", s.GetReason())
	case s.GetExpiresMs() <= t.at:
		return refuse(spec.CodeSessionEnded, "the session has expired")
	}
	if u, ok := users.get(t.view, s.GetUser()); !ok || u.GetDisabledMs() != 0 {
		return refuse(spec.CodeUserDisabled, "the session's user is disabled or gone")
	}
	switch {
	case bytes.Equal(s.GetRefreshHash(), c.GetTokenHash()):
		s.PreviousHash, s.RefreshHash = s.GetRefreshHash(), c.GetNextHash()
		s.Generation++
		s.RefreshedMs, s.From, s.Agent = t.at, c.GetFrom(), c.GetAgent()
		sessions.put(t, s, s, true) // its indexes stay
		t.forgetSessions()
	case bytes.Equal(s.GetPreviousHash(), c.GetTokenHash()) && bytes.Equal(s.GetRefreshHash(), c.GetNextHash()) &&
		t.at-s.GetRefreshedMs() <= refreshAgain.Milliseconds():
	default:
		t.endSession(s, "a refresh token was used again")
		t.stands = true
		return refuse(spec.CodeSessionReused, "the refresh token had been used before, so the session was ended")
	}
	return done(s.GetGeneration())
}

// revokeSession ends one session, or all of a user's. A second time is a success
// that changes nothing.
func (t *tx) revokeSession(c *wire.RevokeSession) *wire.Result {
	if bad := checkText("the reason", c.GetReason()); bad != nil {
		return bad
	}
	if c.GetId() == "" {
		if bad := checkName("the session's id, or a user,", c.GetUser()); bad != nil {
			return bad
		}
		if _, ok := users.get(t.view, c.GetUser()); !ok {
			return refuse(spec.CodeNotFound, "there is no user %q", c.GetUser())
		}
		t.tally("sessions ended", t.endSessions(c.GetUser(), c.GetReason()))
		return done(0)
	}
	s, ok := sessions.get(t.view, c.GetId())
	if !ok || (c.GetUser() != "" && c.GetUser() != s.GetUser()) {
		return refuse(spec.CodeNotFound, "there is no session %q", c.GetId())
	}
	if s.GetRevokedMs() == 0 {
		t.endSession(s, c.GetReason())
	}
	return done(0)
}

func (t *tx) endSession(s *wire.Session, why string) {
	sessions.unindex(t, s)
	s.RevokedMs, s.Reason = max(t.at, 1), why
	t.keepSession(s)
	t.takes("user:" + s.GetUser())
}

// keepSession writes a session that has no index entries. One that ends before the
// floor, by a clock that is far behind, lowers it.
func (t *tx) keepSession(s *wire.Session) {
	sessions.put(t, s, nil, false)
	t.floors.sessions = min(t.floors.sessions, sessionEnd(s))
}

// endSessions ends those of a user that are in force.
func (t *tx) endSessions(user, why string) (ended int) {
	for _, id := range t.named(indexKey(bySessionUser, user, "")) {
		if s, ok := sessions.get(t.view, id); ok && s.GetRevokedMs() == 0 && s.GetExpiresMs() > t.at {
			t.endSession(s, why)
			ended++
		}
	}
	return ended
}

// forgetSessions forgets some of the sessions that ended long ago.
func (t *tx) forgetSessions() {
	var old []string
	until := t.at - sessionKept.Milliseconds()
	floor := max(t.floors.sessions, until)
	t.walkBetween(timedKey(bySessionEnd, t.floors.sessions, ""), timedKey(bySessionEnd, until, ""), false, func(key, _ []byte) bool {
		old = append(old, string(key[9:]))
		if len(old) == atOnce { // there may be more that ended in this moment
			floor = int64(binary.BigEndian.Uint64(key[1:]))
		}
		return len(old) < atOnce
	})
	for _, id := range old {
		if s, ok := sessions.get(t.view, id); ok {
			sessions.drop(t, s)
		}
	}
	t.floors.sessions = floor
}
