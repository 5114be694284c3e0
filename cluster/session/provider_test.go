package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	clientID     = "lotabots"
	clientSecret = "planted-client-secret"
	callback     = "https://gw.example/auth/v1/oidc/callback"
)

// An idp is a provider in this process that can lie. What a true one does is
// shown with a real one, by the tests of e2e.
type idp struct {
	*httptest.Server
	w  *world
	mu sync.Mutex
	// key signs, under the name kid; published are those that it tells of.
	key       *ecdsa.PrivateKey
	kid       string
	published map[string]*ecdsa.PrivateKey
	claims    jwt.MapClaims       // beside those of every identity
	change    func(jwt.MapClaims) // the last word on the identity
	userinfo  jwt.MapClaims
	asked     url.Values // of the last authorisation
	down      bool
	exchanges int
}

func newIDP(w *world) *idp {
	p := &idp{w: w, published: map[string]*ecdsa.PrivateKey{}, claims: jwt.MapClaims{"preferred_username": "ada", "groups": []string{"ops", "dev"}, "email": "ada@example.com"}}
	p.rotate("k1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		reply(rw, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer opaque" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		reply(rw, p.userinfo)
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(p.Close)
	w.state.set(func() {
		w.state.settings[spec.SettingOIDCIssuer], w.state.settings[spec.SettingOIDCClientID] = p.URL, clientID
	})
	sealed, err := SealToVoters(spec.OIDCClientSecret, []byte(clientSecret), w.state.Nodes())
	if err != nil {
		w.t.Fatal(err)
	}
	sealed.Version = 1
	w.state.set(func() { w.state.secrets[spec.OIDCClientSecret] = sealed })
	return p
}

func reply(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(v)
}

// rotate makes the provider sign by a new key of that name.
func (p *idp) rotate(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.kid, p.published[kid] = key, kid, key
}

func (p *idp) set(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

func (p *idp) keys(rw http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []map[string]string
	for kid, k := range p.published {
		raw, err := k.PublicKey.Bytes()
		if err != nil {
			p.w.t.Error(err)
			return
		}
		b := base64.RawURLEncoding
		keys = append(keys, map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
			"x": b.EncodeToString(raw[1:33]), "y": b.EncodeToString(raw[33:])})
	}
	reply(rw, map[string]any{"keys": keys})
}

// token holds the client to PKCE and to its secret.
func (p *idp) token(rw http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges++
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	id, secret, basic := r.BasicAuth()
	if !basic || id != clientID || secret != clientSecret || r.FormValue("code") != "the-code" || r.FormValue("redirect_uri") != callback ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != p.asked.Get("code_challenge") || p.asked.Get("code_challenge_method") != "S256" {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		reply(rw, map[string]string{"error": "invalid_grant", "error_description": "no"})
		return
	}
	claims := jwt.MapClaims{"iss": p.URL, "aud": clientID, "sub": "subject-1", "nonce": p.asked.Get("nonce"),
		"iat": p.w.clock().Unix(), "exp": p.w.clock().Add(time.Minute).Unix()}
	maps.Copy(claims, p.claims)
	if p.change != nil {
		p.change(claims)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"] = p.kid
	text, err := t.SignedString(p.key)
	if err != nil {
		p.w.t.Error(err)
	}
	reply(rw, map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": text})
}

// begun is a log-in whose browser has come to the provider and back.
func (p *idp) begun(t testing.TB, s *Server, ask spec.SSOBegin) spec.SSOFinish {
	t.Helper()
	if ask.Callback == "" {
		ask.Callback = callback
	}
	b, err := s.BeginSSO(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.asked = u.Query() })
	return spec.SSOFinish{Flow: b.Flow, State: u.Query().Get("state"), Code: "the-code", From: "10.0.0.9", Agent: "browser"}
}
