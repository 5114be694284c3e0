package session

import (
	"context"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Methods of a session.
const (
	methodPassword = "password"
	methodOIDC     = "oidc"
)

// Login opens a session by name and password. An unknown name, a wrong password
// and a user without one are told by the same answer, after the same time.
func (s *Server) Login(ctx context.Context, ask spec.Login) (granted *spec.Granted, err error) {
	defer func() { s.metrics.answered("login", err) }()
	if len(ask.Name) > maxName || len(ask.Password) > maxPassword || !utf8.ValidString(ask.Name) {
		return nil, spec.Errorf(spec.CodeLoginFailed, "The name or the password is too long, or no text.")
	}
	ring, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	index := s.cfg.State.Index()
	user, known := s.cfg.State.UserByName(ask.Name)
	kept := ""
	if known && !user.GetService() {
		kept = user.GetPassword()
	}
	good, outdated, err := s.passwords.verify(ctx, kept, ask.Password)
	if err != nil {
		return nil, err
	}
	if !good {
		return nil, spec.Errorf(spec.CodeLoginFailed, "The name or the password is wrong.")
	}
	if user.GetDisabledMs() != 0 { // told to those alone who know the password
		return nil, spec.Errorf(spec.CodeUserDisabled, "The user %s is disabled.", user.GetName())
	}
	if outdated {
		kept = s.upgrade(ctx, user, ask)
	}
	return s.beginBy(ctx, ring, kept, ask.Password, beginning{user: user.GetId(), method: methodPassword, id: random(idLen), from: ask.From, agent: ask.Agent, seen: index})
}

// beginBy opens a session of a user who has shown the password, which the state at
// b.seen kept so. Where another was set since then there is no session: it would
// outlive those that ended with the password.
func (s *Server) beginBy(ctx context.Context, ring *keyring, kept, password string, b beginning) (granted *spec.Granted, err error) {
	const tries = 8 // something is taken from somebody meanwhile, mostly somebody else
	for range tries {
		if granted, err = s.begin(ctx, ring, b); spec.CodeOf(err) != spec.CodeStaleState {
			return granted, err
		}
		if ring, err = s.current(ctx); err != nil {
			return nil, err
		}
		b.seen = s.cfg.State.Index()
		now, _ := s.cfg.State.User(b.user)
		if now.GetPassword() == kept {
			continue
		}
		kept = now.GetPassword() // another, or the same one hashed anew by another log-in
		switch good, _, err := s.passwords.verify(ctx, kept, password); {
		case err != nil:
			return nil, err
		case !good:
			return nil, spec.Errorf(spec.CodeLoginFailed, "The name or the password is wrong.")
		}
	}
	return nil, &spec.Error{Code: spec.CodeNotReady, Message: "Permissions are changed too often for a session to begin.", Err: err}
}

// upgrade keeps the password at present costs, and returns how it is kept. The log-in
// does not depend on it.
func (s *Server) upgrade(ctx context.Context, user *wire.User, ask spec.Login) (kept string) {
	kept = user.GetPassword()
	text, err := s.passwords.hash(ctx, ask.Password)
	if err == nil {
		next := proto.CloneOf(user)
		next.Password, next.ChangedMs = text, s.cfg.Clock().UnixMilli()
		_, err = s.propose(ctx, "user/"+user.GetId(), plainly(ask.From, maxFrom), &wire.Command{Body: &wire.Command_PutUser{
			PutUser: &wire.PutUser{User: next, ExpectVersion: user.GetVersion()}}})
	}
	if err == nil {
		kept = text
	} else {
		s.cfg.Log.Info("a password was not hashed anew at present costs; the next log-in tries again", "user", user.GetId(), "error", err)
	}
	return kept
}

// A beginning is a session to be opened for a user who has been identified.
type beginning struct {
	user, method, id, from, agent string
	seen                          uint64 // index of the state by which the user was identified; 0: whatever came since
}

// begin opens the session. CodeAlreadyExists: its id has been used.
func (s *Server) begin(ctx context.Context, ring *keyring, b beginning) (*spec.Granted, error) {
	now := s.cfg.Clock()
	token := refreshToken{session: b.id, family: random(secretLen), generation: 1, secret: random(secretLen)}
	record := &wire.Session{
		Id: b.id, User: b.user, Method: b.method, FamilyHash: hashOf(token.family), RefreshHash: hashOf(token.secret), Generation: 1,
		CreatedMs: now.UnixMilli(), RefreshedMs: now.UnixMilli(), ExpiresMs: now.Add(s.sessionTTL()).UnixMilli(),
		From: plainly(b.from, maxFrom), Agent: plainly(b.agent, maxAgent), Epoch: s.epoch(),
	}
	result, err := s.propose(ctx, "user/"+b.user, record.From, &wire.Command{Seen: b.seen, Body: &wire.Command_PutSession{PutSession: &wire.PutSession{Session: record}}})
	if err != nil {
		return nil, err
	}
	return s.grant(ring, record, token, result.GetIndex())
}

func (s *Server) sessionTTL() time.Duration {
	return s.duration(spec.SettingSessionTTL, defaultSessionTTL, longest)
}

// HashPassword makes what the state keeps of a new password.
func (s *Server) HashPassword(ctx context.Context, name, password string) (text string, err error) {
	defer func() { s.metrics.answered("hash", err) }()
	if err := strong(name, password); err != nil {
		return "", err
	}
	return s.passwords.hash(ctx, password)
}
