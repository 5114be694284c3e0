package gateway_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
)

// doors opens sessions for the state's users as cluster/session does: their
// password is in the record in clear. Access tokens are real ones.
type doors struct {
	state *state
	key   ed25519.PrivateKey
	mu    sync.Mutex
	asked []any
	fail  error
}

const signer = "k1"

func newDoors(s *state) *doors {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	raw, err := json.Marshal(spec.SigningKeys{Keys: []spec.SigningKey{{ID: signer, Public: public}, {ID: "gone", Public: public, NotAfterMS: 1}}})
	if err != nil {
		panic(err)
	}
	s.secrets[spec.SessionSigningSecret] = &wire.Secret{Name: spec.SessionSigningSecret, Version: 1, Public: raw}
	return &doors{state: s, key: private}
}

// token signs an access token of the session.
func (d *doors) token(session, user string, ends time.Time) string {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": spec.TokenIssuer, "aud": "c", "sub": user, "sid": session,
		"epoch": 0, "iat": time.Now().Unix(), "exp": ends.Unix()})
	t.Header["kid"] = signer
	text, err := t.SignedString(d.key)
	if err != nil {
		panic(err)
	}
	return text
}

// open puts a session of the user into the state, and gives its tokens.
func (d *doors) open(user, from string) *spec.Granted {
	d.state.mu.Lock()
	id := "s" + strconv.Itoa(len(d.state.sessions)+1)
	d.state.sessions[id] = &wire.Session{Id: id, User: user, Method: "password", From: from, ExpiresMs: time.Now().Add(time.Hour).UnixMilli(), FamilyHash: []byte("planted-family")}
	d.state.index++
	index := d.state.index
	d.state.mu.Unlock()
	d.state.fn(gateway.Change{Index: index, Records: ref(gateway.KindSession, id)})
	return &spec.Granted{AccessToken: d.token(id, user, time.Now().Add(10*time.Minute)), RefreshToken: "lbr-" + id + "-secret", ExpiresMS: time.Now().Add(10 * time.Minute).UnixMilli(),
		SessionExpiresMS: time.Now().Add(time.Hour).UnixMilli(), Session: id, User: user, Index: index}
}

func (d *doors) note(ask any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, ask)
	return d.fail
}

func (d *doors) last() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[len(d.asked)-1]
}

func (d *doors) Login(_ context.Context, ask spec.Login) (*spec.Granted, error) {
	if err := d.note(ask); err != nil {
		return nil, err
	}
	u, ok := d.state.UserByName(ask.Name)
	if !ok || u.Password == "" || u.Password != ask.Password {
		return nil, spec.Errorf(spec.CodeLoginFailed, "The name or the password is wrong.")
	}
	return d.open(u.Id, ask.From), nil
}

func (d *doors) Refresh(_ context.Context, ask spec.Refresh) (*spec.Granted, error) {
	if err := d.note(ask); err != nil {
		return nil, err
	}
	id, ok := strings.CutPrefix(ask.Token, "lbr-")
	id = strings.TrimSuffix(id, "-secret")
	in, known := d.state.Session(id)
	if !ok || !known {
		return nil, spec.Errorf(spec.CodeInvalidRefresh, "There is no such token.")
	}
	if in.RevokedMs != 0 {
		return nil, spec.Errorf(spec.CodeSessionEnded, "The session has ended.")
	}
	return &spec.Granted{AccessToken: d.token(id, in.User, time.Now().Add(10*time.Minute)), RefreshToken: ask.Token, Session: id, User: in.User, Index: d.state.Index()}, nil
}

func (d *doors) BeginSSO(_ context.Context, ask spec.SSOBegin) (*spec.SSOBegun, error) {
	if err := d.note(ask); err != nil {
		return nil, err
	}
	return &spec.SSOBegun{URL: "https://idp.example/authorize?x=1", Flow: "sealed-flow"}, nil
}

func (d *doors) FinishSSO(_ context.Context, ask spec.SSOFinish) (*spec.SSOFinished, error) {
	if err := d.note(ask); err != nil {
		return nil, err
	}
	switch ask.Code {
	case "cli":
		return &spec.SSOFinished{Redirect: "http://127.0.0.1:4321/cb?code=once"}, nil
	case "away":
		return &spec.SSOFinished{Redirect: "http://evil.example/cb?code=once"}, nil
	}
	return &spec.SSOFinished{Granted: d.open("u1", ask.From)}, nil
}

func (d *doors) Exchange(_ context.Context, ask spec.Exchange) (*spec.Granted, error) {
	if err := d.note(ask); err != nil {
		return nil, err
	}
	if ask.Code != "once" {
		return nil, spec.Errorf(spec.CodeSSOFailed, "The code is not known.")
	}
	return d.open("u1", ask.From), nil
}

func (d *doors) HashPassword(_ context.Context, _, password string) (string, error) {
	if len(password) < 12 {
		return "", &spec.Error{Code: spec.CodeInvalidRequest, Param: "password", Message: "The password must have 12 characters."}
	}
	return password, nil
}

// addUser puts a user with these roles into the state before the gateway reads
// it: "role" in the user's tenant, "role@" in the whole cluster, "role@t" in t.
func (s *state) addUser(id, tenant string, roles ...string) {
	s.users[id] = &wire.User{Id: id, Tenant: tenant, Name: id + "-name", Password: "correct horse " + id, Version: 1}
	for _, text := range roles {
		role, where, given := strings.Cut(text, "@")
		if !given {
			where = tenant
		}
		b := &wire.Binding{Id: "b-" + id + "-" + strings.ReplaceAll(text, "/", "-"), Subject: "user:" + id, Role: role, Tenant: where}
		s.bindings[b.Id] = b
	}
}

// enter opens a session of the user and returns its access token.
func (r *rig) enter(user string) string {
	return r.doors.open(user, "127.0.0.1").AccessToken
}

// put replaces what the state has, behind the gateway's back but for what it is told.
func (r *rig) tellState() {
	r.state.fn(gateway.Change{Index: r.state.Index(), Reset: true})
}

// clone is a copy of the state's records, to go back to.
func (s *state) clone() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newState()
	c.keys, c.deployments, c.models, c.nodes = copied(s.keys), copied(s.deployments), copied(s.models), copied(s.nodes)
	c.tenants, c.users, c.roles, c.bindings = copied(s.tenants), copied(s.users), copied(s.roles), copied(s.bindings)
	c.sessions, c.tokens, c.secrets, c.placements = copied(s.sessions), copied(s.tokens), copied(s.secrets), copied(s.placements)
	for k, v := range s.settings {
		c.settings[k] = v
	}
	return c
}

func copied[M proto.Message](m map[string]M) map[string]M {
	out := make(map[string]M, len(m))
	for k, v := range m {
		out[k] = proto.CloneOf(v)
	}
	return out
}

// restore takes over the records of another, and leaves it as it is.
func (s *state) restore(from *state) {
	c := from.clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.deployments, s.models, s.nodes = c.keys, c.deployments, c.models, c.nodes
	s.tenants, s.users, s.roles, s.bindings = c.tenants, c.users, c.roles, c.bindings
	s.sessions, s.tokens, s.secrets, s.placements, s.settings = c.sessions, c.tokens, c.secrets, c.placements, c.settings
}

func TestLoginAndOut(t *testing.T) {
	r := newRig(t)
	r.node("n1", "north", 4, whole)
	res, body := r.do("", "POST", "/auth/v1/login", `{"name":"u1-name","password":"correct horse u1"}`)
	if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" || r.doors.last().(spec.Login).From != "127.0.0.1" {
		t.Fatalf("%d %s %v", res.StatusCode, body, res.Header)
	}
	token, refreshed := fieldOf(t, body, "access_token"), fieldOf(t, body, "refresh_token")
	if res, body := r.do(token, "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 {
		t.Errorf("a session infers: %d %s", res.StatusCode, body)
	}
	if _, body := r.do(token, "GET", "/auth/v1/whoami", ""); fieldOf(t, body, "kind") != "session" || fieldOf(t, body, "user") != "u1" || !strings.Contains(body, `"role":"developer"`) {
		t.Errorf("%s", body)
	}
	if res, body := r.do("", "POST", "/auth/v1/refresh", `{"refresh_token":"`+refreshed+`"}`); res.StatusCode != 200 || fieldOf(t, body, "access_token") == "" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	other := r.enter("u1")
	for _, c := range []struct {
		body         string
		here, others int
	}{{"", 401, 200}, {`{"everywhere":true}`, 401, 401}} {
		fresh := r.enter("u1")
		if res, body := r.do(fresh, "POST", "/auth/v1/logout", c.body); res.StatusCode != 200 || !strings.Contains(body, `"revoked":true`) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		for token, want := range map[string]int{fresh: c.here, other: c.others} {
			if res, body := r.do(token, "GET", "/auth/v1/whoami", ""); res.StatusCode != want || want == 401 && codeOf(t, body) != "session_ended" {
				t.Errorf("after logging out by %q: %d %s, want %d", c.body, res.StatusCode, body, want)
			}
		}
	}
	if res, body := r.do(r.admin, "POST", "/auth/v1/logout", ""); res.StatusCode != 400 || !strings.Contains(body, "no session") {
		t.Errorf("a key: %d %s", res.StatusCode, body)
	}
}

// TestTokensThatAreNone are told apart.
func TestTokensThatAreNone(t *testing.T) {
	r := newRig(t)
	good := r.enter("u1")
	forged := newDoors(newState()).token("s1", "u1", time.Now().Add(time.Minute))
	for name, c := range map[string]struct {
		token string
		code  spec.Code
	}{
		"forged":            {forged, spec.CodeInvalidToken},
		"another's key":     {good[:strings.LastIndexByte(good, '.')] + forged[strings.LastIndexByte(forged, '.'):], spec.CodeInvalidToken},
		"expired":           {r.doors.token("s1", "u1", time.Now().Add(-time.Minute)), spec.CodeExpiredToken},
		"of no session":     {r.doors.token("none", "u1", time.Now().Add(time.Minute)), spec.CodeSessionEnded},
		"of another's user": {r.doors.token("s1", "u2", time.Now().Add(time.Minute)), spec.CodeSessionEnded},
	} {
		if res, body := r.do(c.token, "GET", "/auth/v1/whoami", ""); res.StatusCode != 401 || codeOf(t, body) != string(c.code) {
			t.Errorf("%s: %d %s, want %s", name, res.StatusCode, body, c.code)
		}
	}
}

// TestASessionOfAnotherNodeIsWaitedFor: the token is good, and this node learns of
// the session a moment later.
func TestASessionOfAnotherNodeIsWaitedFor(t *testing.T) {
	r := newRig(t)
	token := r.doors.token("late", "u1", time.Now().Add(time.Minute))
	time.AfterFunc(100*time.Millisecond, func() {
		r.state.mu.Lock()
		r.state.sessions["late"] = &wire.Session{Id: "late", User: "u1", ExpiresMs: time.Now().Add(time.Hour).UnixMilli()}
		r.state.mu.Unlock()
		r.state.fn(gateway.Change{Index: 10, Records: ref(gateway.KindSession, "late")})
	})
	if res, body := r.do(token, "GET", "/auth/v1/whoami", ""); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestWithoutSessions the operations say so.
func TestWithoutSessions(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Sessions, c.Seal, c.VerifyAudit = nil, nil, nil })
	r.partial = true
	for _, c := range [][3]string{{"POST", "/auth/v1/login", `{"name":"a","password":"b"}`}, {"POST", "/auth/v1/refresh", `{"refresh_token":"a"}`},
		{"GET", "/auth/v1/oidc/login", ""}, {"GET", "/auth/v1/oidc/callback", ""}, {"POST", "/auth/v1/exchange", `{"code":"a","verifier":"b"}`},
		{"PUT", "/admin/v1/secrets/oidc-client", `{"value":"a"}`}, {"PUT", "/admin/v1/users/u1/password", `{"password":"long enough it is"}`}, {"GET", "/admin/v1/audit/verify", ""}} {
		if res, body := r.do(r.admin, c[0], c[1], c[2]); res.StatusCode != 404 || !strings.Contains(body, "Ask a node of the cluster") {
			t.Errorf("%v: %d %s", c, res.StatusCode, body)
		}
	}
}
