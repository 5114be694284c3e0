package session

import (
	"bytes"
	"context"
	"crypto/subtle"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Refresh exchanges a refresh token for the next one, with an access token. The
// same token again within ten seconds is answered with the same next one, so that
// an answer that was lost ends no session; used later, it ends its session.
func (s *Server) Refresh(ctx context.Context, ask spec.Refresh) (granted *spec.Granted, err error) {
	defer func() { s.metrics.answered("refresh", err) }()
	token, ok := parseRefresh(ask.Token)
	if !ok {
		return nil, spec.Errorf(spec.CodeInvalidRefresh, "This is no refresh token, or it has a typing error.")
	}
	ring, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	record, err := s.inForce(token)
	if err != nil {
		return nil, err
	}
	next, err := follow(ring, record, token)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The next refresh token could not be derived.", Err: err}
	}
	from := plainly(ask.From, maxFrom)
	result, err := s.propose(ctx, "user/"+record.GetUser(), from, &wire.Command{Body: &wire.Command_RefreshSession{RefreshSession: &wire.RefreshSession{
		Id: token.session, FamilyHash: hashOf(token.family), TokenHash: hashOf(token.secret), NextHash: hashOf(next.secret),
		From: from, Agent: plainly(ask.Agent, maxAgent)}}})
	if err != nil {
		if spec.CodeOf(err) == spec.CodeSessionReused {
			s.cfg.Log.Warn("a refresh token was used again: its session has been ended", "session", token.session, "user", record.GetUser(), "from", from)
		}
		return nil, err
	}
	return s.grant(ring, record, next, result.GetIndex())
}

// inForce finds the session that the token is of. What is refused here costs the
// cluster no write: whoever has no token of a session can make it write nothing.
func (s *Server) inForce(token refreshToken) (*wire.Session, error) {
	record, ok := s.cfg.State.Session(token.session)
	switch {
	case !ok || subtle.ConstantTimeCompare(record.GetFamilyHash(), hashOf(token.family)) != 1:
		return nil, spec.Errorf(spec.CodeInvalidRefresh, "There is no such session, or no longer.")
	case record.GetRevokedMs() != 0:
		why := record.GetReason()
		if why == "" {
			why = "somebody logged out"
		}
		return nil, spec.Errorf(spec.CodeSessionEnded, "The session has ended: %s.", why)
	case record.GetExpiresMs() <= s.cfg.Clock().UnixMilli():
		return nil, spec.Errorf(spec.CodeSessionEnded, "The session has expired.")
	case record.GetEpoch() != s.epoch():
		return nil, spec.Errorf(spec.CodeSessionEnded, "All sessions ended when the cluster was restored or recovered.")
	}
	return record, nil
}

// follow derives the token that follows the one presented. Where the session's
// newest one follows it already, that is the one, by whichever key it was derived:
// the keys may have been rotated since.
func follow(ring *keyring, record *wire.Session, presented refreshToken) (refreshToken, error) {
	if bytes.Equal(record.GetPreviousHash(), hashOf(presented.secret)) {
		for i := range ring.keys {
			next, err := presented.next(&ring.keys[i])
			if err != nil {
				return next, err
			}
			if bytes.Equal(record.GetRefreshHash(), hashOf(next.secret)) {
				return next, nil
			}
		}
	}
	return presented.next(ring.newest())
}
