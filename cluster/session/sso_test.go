package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestSingleSignOn(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s, other := w.server("n1"), NewServer(w.config("n2"))
	p := newIDP(w)
	f := p.begun(t, s, spec.SSOBegin{})
	if got := p.asked; got.Get("scope") != "openid profile email groups" || got.Get("redirect_uri") != callback || got.Get("response_type") != "code" || got.Get("client_id") != clientID {
		t.Errorf("the browser is sent with %v", got)
	}
	for _, secret := range []string{f.State, p.asked.Get("nonce"), "verifier"} {
		if strings.Contains(f.Flow, secret) {
			t.Error("the flow is readable")
		}
	}
	done, err := other.FinishSSO(t.Context(), f) // the callback may come to another voter
	if err != nil {
		t.Fatal(err)
	}
	if done.Granted == nil || done.Redirect != "" {
		t.Fatalf("answered %+v", done)
	}
	u, ok := w.state.UserBySubject(p.URL, "subject-1")
	if !ok || u.Name != "ada" || u.Email != "ada@example.com" || !slices.Equal(u.Groups, []string{"dev", "ops"}) || u.Id != done.Granted.User || u.Password != "" {
		t.Fatalf("the user is %v", u)
	}
	if record, _ := w.state.Session(done.Granted.Session); record.Method != "oidc" || record.User != u.Id {
		t.Errorf("the session is %v", record)
	}
	refreshed(t, s, done.Granted.RefreshToken)
	// Later log-ins bring the user up to date, and keep its name.
	p.set(func() {
		p.claims = jwt.MapClaims{"preferred_username": "lovelace", "groups": "ops", "email": "countess@example.com", "name": "Ada L."}
	})
	if done, err = s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
	now, _ := w.state.UserBySubject(p.URL, "subject-1")
	if now.Id != u.Id || now.Name != "ada" || now.Email != "countess@example.com" || now.Display != "Ada L." || !slices.Equal(now.Groups, []string{"ops"}) || done.Granted.User != u.Id {
		t.Errorf("the user is %v", now)
	}
	version := now.Version
	if _, err = s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
	if now, _ = w.state.User(u.Id); now.Version != version {
		t.Error("the user is written though nothing changed")
	}
	if log := w.logged(); strings.Contains(log, clientSecret) || strings.Contains(log, "the-code") {
		t.Errorf("a secret stands in the log: %s", log)
	}
}

// TestLiesOfAProvider: what is not signed by its keys, for this client, for this
// log-in and in time is not believed, and nobody is made a user.
func TestLiesOfAProvider(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	p := newIDP(w)
	for name, lie := range map[string]func(jwt.MapClaims){
		"expired":                 func(c jwt.MapClaims) { c["exp"] = w.clock().Add(-time.Second).Unix() },
		"another audience":        func(c jwt.MapClaims) { c["aud"] = "grafana" },
		"made for another client": func(c jwt.MapClaims) { c["aud"], c["azp"] = []string{clientID, "grafana"}, "grafana" },
		"several and no party":    func(c jwt.MapClaims) { c["aud"] = []string{clientID, "grafana"} },
		"another issuer":          func(c jwt.MapClaims) { c["iss"] = "https://login.example" },
		"another log-in":          func(c jwt.MapClaims) { c["nonce"] = "of somebody else" },
		"no nonce":                func(c jwt.MapClaims) { delete(c, "nonce") },
		"nobody":                  func(c jwt.MapClaims) { delete(c, "sub") },
		"another access token":    func(c jwt.MapClaims) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
		"not yet":                 func(c jwt.MapClaims) { c["nbf"] = w.clock().Add(time.Hour).Unix() },
		"a forged signature": func(jwt.MapClaims) {
			honest := p.published["k1"]
			p.published = map[string]*ecdsa.PrivateKey{"k1": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
			p.key = honest
		},
		"an unknown key": func(jwt.MapClaims) { p.kid = "k9" },
	} {
		p.rotate("k1")
		p.set(func() { p.change = lie })
		done, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
		if spec.CodeOf(err) != spec.CodeSSOFailed {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	if len(w.state.users) != 0 || len(w.state.sessions) != 0 {
		t.Fatalf("%d users, %d sessions", len(w.state.users), len(w.state.sessions))
	}
	p.rotate("k2") // and the truth is believed, by a key that it had not told of
	p.set(func() { p.change = nil })
	if _, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
}

func TestCallbacksThatAreNotOfTheFlow(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	p := newIDP(w)
	good := p.begun(t, s, spec.SSOBegin{})
	with := func(change func(*spec.SSOFinish)) spec.SSOFinish { f := good; change(&f); return f }
	var inside flow
	if err := must(s.keys()).open(w.clock(), purposeFlow, good.Flow, &inside); err != nil {
		t.Fatal(err)
	}
	code := must(must(s.keys()).seal(purposeCode, inside))
	for name, f := range map[string]spec.SSOFinish{
		"no flow":         with(func(f *spec.SSOFinish) { f.Flow = "" }),
		"another state":   with(func(f *spec.SSOFinish) { f.State = random(secretLen) }),
		"no state":        with(func(f *spec.SSOFinish) { f.State = "" }),
		"changed":         with(func(f *spec.SSOFinish) { f.Flow = f.Flow[:len(f.Flow)-2] + "AA" }),
		"another purpose": with(func(f *spec.SSOFinish) { f.Flow = code }),
		"a wrong code":    with(func(f *spec.SSOFinish) { f.Code = "guessed" }),
		"no code":         with(func(f *spec.SSOFinish) { f.Code = "" }),
	} {
		if _, err := s.FinishSSO(t.Context(), f); spec.CodeOf(err) != spec.CodeSSOFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.pass(flowLife)
	_, err := s.FinishSSO(t.Context(), good)
	wantCode(t, err, spec.CodeSSOFailed)
	good = p.begun(t, s, spec.SSOBegin{})
	w.state.set(func() { w.state.settings[spec.SettingOIDCClientID] = "other" })
	exchanges := p.exchanges
	_, err = s.FinishSSO(t.Context(), good)
	wantCode(t, err, spec.CodeSSOFailed)
	if p.exchanges != exchanges {
		t.Error("the code of one client was sent as another's")
	}
}

// TestUsersAreNotTakenOver: a name is what the provider's user wishes, no more.
func TestUsersAreNotTakenOver(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	p := newIDP(w)
	admin := w.local("ada", "$argon2id$...")
	_, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
	wantCode(t, err, spec.CodeSSOFailed)
	if !strings.Contains(spec.Explain(err), "ada") || !strings.Contains(spec.Explain(err), "administrator") {
		t.Errorf("the refusal explains nothing: %s", spec.Explain(err))
	}
	if u, _ := w.state.User(admin.Id); u.Version != 1 || u.Issuer != "" || len(w.state.users) != 1 {
		t.Errorf("the local user is %v", u)
	}
	w.state.set(func() { admin.Issuer, admin.Subject = "https://before.example", "7" }) // one of an earlier provider
	if _, err = s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
	if u, ok := w.state.UserBySubject(p.URL, "subject-1"); !ok || u.Name != "ada-2" {
		t.Errorf("the user is %v", u)
	}
	u, _ := w.state.UserBySubject(p.URL, "subject-1")
	w.state.set(func() { u.DisabledMs = 1 })
	p.set(func() { p.claims["email"] = "new@example.com" })
	_, err = s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
	wantCode(t, err, spec.CodeUserDisabled)
	if now, _ := w.state.User(u.Id); now.Version != 1 {
		t.Errorf("a disabled user was changed: %v", now)
	}
}

// TestHomeOfNewUsers is the tenant that the setting names; whoever is there already
// stays where they are, and without that tenant nobody is made.
func TestHomeOfNewUsers(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	p := newIDP(w)
	login := func(subject string) (*wire.User, error) {
		p.set(func() {
			p.claims = jwt.MapClaims{"sub": subject, "preferred_username": subject, "groups": "ops", "name": random(8)}
		})
		_, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
		u, _ := w.state.UserBySubject(p.URL, subject)
		return u, err
	}
	if u, err := login("before"); err != nil || u.GetTenant() != "" {
		t.Fatalf("without the setting: %v, %v", u, err)
	}
	w.state.set(func() { w.state.settings[spec.SettingOIDCTenant] = "acme" })
	u, err := login("ada")
	wantCode(t, err, spec.CodeSSOFailed)
	if u != nil || !strings.Contains(spec.Explain(err), spec.SettingOIDCTenant) || !strings.Contains(spec.Explain(err), "administrator") {
		t.Errorf("made %v, and told %q", u, spec.Explain(err))
	}
	w.state.set(func() { w.state.tenants = []string{"acme", "umbrella"} })
	if u, err = login("ada"); err != nil || u.GetTenant() != "acme" {
		t.Fatalf("with the setting: %v, %v", u, err)
	}
	w.state.set(func() { w.state.settings[spec.SettingOIDCTenant] = "umbrella" })
	for subject, tenant := range map[string]string{"ada": "acme", "before": ""} {
		if u, err = login(subject); err != nil || u.GetTenant() != tenant || u.GetVersion() != 2 {
			t.Errorf("a later log-in: %v, %v", u, err)
		}
	}
}

// TestTwoFirstLoginsAtOnce make one user.
func TestTwoFirstLoginsAtOnce(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	p := newIDP(w)
	once := true
	w.state.before = func(c *wire.Command) error {
		if c.GetPutUser() != nil && once {
			once = false
			u := &wire.User{Id: "faster", Name: "ada", Issuer: p.URL, Subject: "subject-1", Version: 1}
			w.state.set(func() { w.state.users[u.Id] = u })
		}
		return nil
	}
	done, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := w.state.User("faster"); done.Granted.User != "faster" || u.Email != "ada@example.com" || len(w.state.users) != 1 {
		t.Errorf("the user is %v of %d", u, len(w.state.users))
	}
}

func TestUserinfoCompletesTheIdentity(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	p := newIDP(w)
	w.state.settings[spec.SettingOIDCGroups] = "roles"
	p.claims, p.userinfo = jwt.MapClaims{"email": "x@example.com"}, jwt.MapClaims{"sub": "subject-1", "roles": []any{"a", 7, "b\n", "a", ""}, "preferred_username": "Grace Hopper"}
	if _, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
	if u, _ := w.state.UserBySubject(p.URL, "subject-1"); u.Name != "grace-hopper" || !slices.Equal(u.Groups, []string{"a"}) {
		t.Errorf("the user is %v", u)
	}
	p.set(func() { p.userinfo["sub"] = "subject-2" })
	_, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{}))
	wantCode(t, err, spec.CodeSSOFailed)
}

// TestNamesOfTheProvider: an address that the provider has not verified gives no name.
func TestNamesOfTheProvider(t *testing.T) {
	for want, claims := range map[string]string{
		"ada":           `{"preferred_username":" Ada "}`,
		"a-b.c":         `{"preferred_username":"-a/b.c."}`,
		"x@example.com": `{"email":"x@example.com","email_verified":true}`,
		"y@example.com": `{"email":"y@example.com","email_verified":"true"}`,
	} {
		if id := identityOf(&provider{groups: "groups"}, "s", rawClaims(t, claims)); id.name != want {
			t.Errorf("%s gives the name %q, want %q", claims, id.name, want)
		}
	}
	for _, verified := range []string{"", `,"email_verified":false`, `,"email_verified":null`, `,"email_verified":"false"`, `,"email_verified":1`} {
		claims := `{"email":"z@example.com"` + verified + `}`
		if id := identityOf(&provider{groups: "groups"}, "s", rawClaims(t, claims)); id.name != "" || id.email != "z@example.com" {
			t.Errorf("%s gives the name %q and the address %q", claims, id.name, id.email)
		}
	}
	long := identityOf(&provider{groups: "groups"}, "s", rawClaims(t, `{"preferred_username":"`+strings.Repeat("ä", 500)+`x"}`))
	if len(long.name) > maxUserName {
		t.Errorf("a name of %d bytes", len(long.name))
	}
}

func TestLoopback(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	s, other := w.server("n1"), NewServer(w.config("n2"))
	p := newIDP(w)
	const verifier = "the-verifier-of-the-cli"
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	codeOf := func() string {
		t.Helper()
		done, err := s.FinishSSO(t.Context(), p.begun(t, s, spec.SSOBegin{Loopback: "http://127.0.0.1:4711/done?x=1", Challenge: challenge}))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(done.Redirect)
		if err != nil || u.Host != "127.0.0.1:4711" || u.Path != "/done" || u.Query().Get("x") != "1" || done.Granted != nil {
			t.Fatalf("answered %+v", done)
		}
		return u.Query().Get("code")
	}
	code := codeOf()
	if len(w.state.sessions) != 0 {
		t.Error("a session was opened before the code was exchanged")
	}
	_, err := other.Exchange(t.Context(), spec.Exchange{Code: code, Verifier: "of another program"})
	wantCode(t, err, spec.CodeSSOFailed)
	g, err := other.Exchange(t.Context(), spec.Exchange{Code: code, Verifier: verifier, From: "10.0.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	refreshed(t, s, g.RefreshToken)
	_, err = s.Exchange(t.Context(), spec.Exchange{Code: code, Verifier: verifier})
	wantCode(t, err, spec.CodeSSOFailed)
	late := codeOf()
	w.pass(codeLife)
	_, err = s.Exchange(t.Context(), spec.Exchange{Code: late, Verifier: verifier})
	wantCode(t, err, spec.CodeSSOFailed)
	gone := codeOf()
	u, _ := w.state.UserBySubject(p.URL, "subject-1")
	w.state.set(func() { u.DisabledMs = 1 })
	_, err = s.Exchange(t.Context(), spec.Exchange{Code: gone, Verifier: verifier})
	wantCode(t, err, spec.CodeUserDisabled)
	if len(w.state.sessions) != 1 {
		t.Errorf("%d sessions", len(w.state.sessions))
	}
}

func TestOnlyLoopbackAndHTTPCallbacks(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	newIDP(w)
	challenge := base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size))
	for _, ask := range []spec.SSOBegin{
		{Callback: ""}, {Callback: "/auth/v1/oidc/callback"}, {Callback: "javascript:alert(1)"}, {Callback: "https://u:p@gw.example/"}, {Callback: "https://gw.example/#x"},
		{Callback: callback, Loopback: "http://127.0.0.1:4711/"},
		{Callback: callback, Challenge: challenge},
		{Callback: callback, Loopback: "http://127.0.0.1:4711/", Challenge: "c2hvcnQ"},
	} {
		if _, err := s.BeginSSO(t.Context(), ask); spec.CodeOf(err) != spec.CodeInvalidRequest {
			t.Errorf("%+v: %v", ask, err)
		}
	}
	for text, want := range map[string]bool{
		"http://127.0.0.1:4711/": true, "http://[::1]:4711/x?y=z": true, "http://127.0.0.1:4711": true,
		"http://127.0.0.1/": false, "http://localhost:4711/": false, "https://127.0.0.1:4711/": false, "http://127.0.0.1:4711@evil.example/": false,
		"http://127.0.0.1.evil.example:80/": false, "http://evil.example:4711/127.0.0.1": false, "http://127.0.0.1:0/": false, "http://127.0.0.1:99999/": false,
		"http://10.0.0.1:4711/": false, "http://127.0.0.1:4711/#x": false, "//127.0.0.1:4711/": false, "http:127.0.0.1:4711": false,
	} {
		if got := goesHome(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestWithoutSingleSignOn(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	ask := spec.SSOBegin{Callback: callback}
	_, err := s.BeginSSO(t.Context(), ask)
	wantCode(t, err, spec.CodeSSOUnconfigured)
	p := newIDP(w)
	for _, issuer := range []string{"http://login.example", "login.example", "ftp://127.0.0.1"} {
		w.state.set(func() { w.state.settings[spec.SettingOIDCIssuer] = issuer })
		_, err = s.BeginSSO(t.Context(), ask)
		wantCode(t, err, spec.CodeSSOUnconfigured)
	}
	w.state.set(func() { w.state.settings[spec.SettingOIDCIssuer] = p.URL })
	p.set(func() { p.down = true })
	_, err = s.BeginSSO(t.Context(), ask)
	wantCode(t, err, spec.CodeSSOFailed)
	p.set(func() { p.down = false })
	p.begun(t, s, ask) // a failure is not remembered
	p.set(func() { p.down = true })
	p.begun(t, s, ask) // what the provider told of itself is
}

// FuzzSealed: nothing but what was sealed opens.
func FuzzSealed(f *testing.F) {
	ring := &keyring{keys: []heldKey{newKey(time.Now())}}
	sealed := must(ring.seal(purposeFlow, flow{State: "s"}))
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add(ring.newest().ID + ".AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		var out flow
		if err := ring.open(time.Now(), purposeFlow, text, &out); (err == nil) != (text == sealed) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzLoopback(f *testing.F) {
	f.Add("http://127.0.0.1:1/")
	f.Add("http://[::1]:1/?a=b")
	f.Fuzz(func(t *testing.T, text string) {
		if !goesHome(text) {
			return
		}
		rest := text[min(len("http://"), len(text)):]
		if !strings.EqualFold(text[:len(text)-len(rest)], "http://") || !strings.HasPrefix(rest, "127.0.0.1:") && !strings.HasPrefix(rest, "[::1]:") {
			t.Errorf("%q was taken for one of this machine", text)
		}
	})
}
