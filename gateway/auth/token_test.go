package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

const start = int64(1_800_000_000_000) // Unix ms, a whole second

// An issuer signs tokens as the voters do.
type issuer struct {
	t       testing.TB
	name    string
	private ed25519.PrivateKey
}

func newIssuer(t testing.TB, name string) *issuer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, name, private}
}

func keySet(t testing.TB, until int64, issuers ...*issuer) []byte {
	t.Helper()
	var set spec.SigningKeys
	for _, i := range issuers {
		set.Keys = append(set.Keys, spec.SigningKey{ID: i.name, Public: i.private.Public().(ed25519.PublicKey), NotAfterMS: until})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sound() jwt.MapClaims {
	return jwt.MapClaims{"iss": spec.TokenIssuer, "aud": "c1", "sub": "u1", "sid": "s1", "epoch": 3, "iat": start / 1000, "exp": start/1000 + 600}
}

func (i *issuer) sign(method jwt.SigningMethod, key any, c jwt.MapClaims) []byte {
	i.t.Helper()
	token := jwt.NewWithClaims(method, c)
	token.Header["kid"] = i.name
	text, err := token.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return []byte(text)
}

func (i *issuer) token(change ...func(jwt.MapClaims)) []byte {
	c := sound()
	for _, fn := range change {
		fn(c)
	}
	return i.sign(jwt.SigningMethodEdDSA, i.private, c)
}

func session1() *wire.Session {
	return &wire.Session{Id: "s1", User: "u1", Epoch: 3, ExpiresMs: start + 3_600_000}
}

// inSessions is a table with a user, a session of it, and the issuer's key.
func inSessions(t testing.TB, i *issuer) *Table {
	t.Helper()
	table := New("c1")
	table.PutUser(&wire.User{Id: "u1", Tenant: "acme", Name: "ann"})
	table.PutSession(session1())
	table.SetEpoch(3)
	if err := table.SetSigning(keySet(t, 0, i)); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTokens(t *testing.T) {
	i, stranger := newIssuer(t, "k1"), newIssuer(t, "k1")
	other := newIssuer(t, "k2")
	table := inSessions(t, i)
	set := func(name string, v any) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) { c[name] = v }
	}
	good := i.token()
	parts := strings.Split(string(good), ".")
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"k1"}`))
	for _, c := range []struct {
		what string
		text []byte
		want spec.Code
	}{
		{"a sound one", good, ""},
		{"one that another's key signed", stranger.token(), spec.CodeInvalidToken},
		{"one of a key that is not known", other.token(), spec.CodeInvalidToken},
		{"one that is not signed", []byte(header + "." + parts[1] + "."), spec.CodeInvalidKey},
		{"one that says that it is not signed", []byte(header + "." + parts[1] + "." + parts[2]), spec.CodeInvalidToken},
		{"one signed by HMAC under the public key", i.sign(jwt.SigningMethodHS256, []byte(i.private.Public().(ed25519.PublicKey)), sound()), spec.CodeInvalidToken},
		{"one of another issuer", i.token(set("iss", "other")), spec.CodeInvalidToken},
		{"one of another cluster", i.token(set("aud", "c2")), spec.CodeInvalidToken},
		{"one of another cluster, expired", i.token(set("aud", "c2"), set("exp", start/1000-1)), spec.CodeInvalidToken},
		{"one for several, this one too", i.token(set("aud", []string{"c2", "c1"})), ""},
		{"one without an audience", i.token(func(c jwt.MapClaims) { delete(c, "aud") }), spec.CodeInvalidToken},
		{"one without an end", i.token(func(c jwt.MapClaims) { delete(c, "exp") }), spec.CodeInvalidToken},
		{"one without a session", i.token(set("sid", "")), spec.CodeInvalidToken},
		{"one without a user", i.token(set("sub", "")), spec.CodeInvalidToken},
		{"an expired one", i.token(set("exp", start/1000)), spec.CodeExpiredToken},
		{"an expired one that a stranger signed", stranger.token(set("exp", start/1000)), spec.CodeInvalidToken},
		{"one of a former epoch", i.token(set("epoch", 2)), spec.CodeSessionEnded},
		{"one of a session not known here", i.token(set("sid", "s2")), CodeBehind},
		{"another user's in this session", i.token(set("sub", "u2")), spec.CodeSessionEnded},
		{"one with another signature", []byte(parts[0] + "." + parts[1] + "." + strings.Split(string(i.token(set("jti", "x"))), ".")[2]), spec.CodeInvalidToken},
		{"a very long one", i.token(set("jti", strings.Repeat("x", maxToken))), spec.CodeInvalidKey},
	} {
		for range 2 { // also when it might be known
			who, code := table.Identify(c.text, start)
			if code != c.want || (code == "") != (who != nil) {
				t.Errorf("%s: %q, want %q; %v", c.what, code, c.want, who)
			}
		}
	}
	who, _ := table.Identify(good, start)
	if who.Kind != OfSession || who.Session != "s1" || who.User != "u1" || who.Tenant != "acme" || who.Name != "ann" || who.Actor() != "user/u1" {
		t.Errorf("is of %+v", who)
	}
}

// TestKnownTokensFollowTheState: what has been proven once is refused as soon as
// anything that it rests on has changed.
func TestKnownTokensFollowTheState(t *testing.T) {
	i, next := newIssuer(t, "k1"), newIssuer(t, "k2")
	text := i.token()
	revoked, short := session1(), session1()
	revoked.RevokedMs, short.ExpiresMs = 5, start
	for _, c := range []struct {
		what   string
		change func(*Table)
		after  time.Duration
		want   spec.Code
	}{
		{"nothing", func(*Table) {}, 0, ""},
		{"a second before its end", func(*Table) {}, 599 * time.Second, ""},
		{"its end", func(*Table) {}, 600 * time.Second, spec.CodeExpiredToken},
		{"the session revoked", func(t *Table) { t.PutSession(revoked) }, 0, spec.CodeSessionEnded},
		{"the session over", func(t *Table) { t.PutSession(short) }, 0, spec.CodeSessionEnded},
		{"the session gone", func(t *Table) { t.RemoveSession("s1") }, 0, CodeBehind},
		{"the user disabled", func(t *Table) { t.PutUser(&wire.User{Id: "u1", DisabledMs: 5}) }, 0, spec.CodeUserDisabled},
		{"the user gone", func(t *Table) { t.RemoveUser("u1") }, 0, spec.CodeSessionEnded},
		{"another epoch", func(t *Table) { t.SetEpoch(4) }, 0, spec.CodeSessionEnded},
		{"a second key", func(tb *Table) { _ = tb.SetSigning(keySet(t, 0, next, i)) }, 0, ""},
		{"the key retired, soon", func(tb *Table) { _ = tb.SetSigning(keySet(t, start+2, next, i)) }, time.Millisecond, ""},
		{"the key retired", func(tb *Table) { _ = tb.SetSigning(keySet(t, start+2, next, i)) }, 2 * time.Millisecond, spec.CodeInvalidToken},
		{"the key gone", func(tb *Table) { _ = tb.SetSigning(keySet(t, 0, next)) }, 0, spec.CodeInvalidToken},
		{"no keys", func(t *Table) { _ = t.SetSigning(nil) }, 0, spec.CodeInvalidToken},
		{"everything loaded without it", func(t *Table) { _ = t.Load(Records{}) }, 0, spec.CodeInvalidToken},
	} {
		table := inSessions(t, i)
		if _, code := table.Identify(text, start); code != "" {
			t.Fatalf("before %s: %q", c.what, code)
		}
		c.change(table)
		if _, code := table.Identify(text, start+c.after.Milliseconds()); code != c.want {
			t.Errorf("after %s: %q, want %q", c.what, code, c.want)
		}
	}
}

// TestAKeysEndIsKept: a token that was proven under a key that is to retire is not
// taken from memory after that.
func TestAKeysEndIsKept(t *testing.T) {
	i := newIssuer(t, "k1")
	table, text := inSessions(t, i), i.token()
	_ = table.SetSigning(keySet(t, start+1000, i))
	for at, want := range map[int64]spec.Code{start: "", start + 999: "", start + 1000: spec.CodeInvalidToken} {
		_, _ = table.Identify(text, start)
		if _, code := table.Identify(text, at); code != want {
			t.Errorf("%d ms later: %q, want %q", at-start, code, want)
		}
	}
}

func TestSigningKeysThatCannotBeRead(t *testing.T) {
	i := newIssuer(t, "k1")
	table, text := inSessions(t, i), i.token()
	for _, bad := range []string{"{", `{"keys":[{"kid":"k1","x":"AAAA"}]}`, `{"keys":[{"x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`} {
		if err := table.SetSigning([]byte(bad)); err == nil {
			t.Errorf("%s is taken over", bad)
		}
	}
	if _, code := table.Identify(text, start); code != "" {
		t.Errorf("after keys that cannot be read: %q", code)
	}
	if _, code := New("").Identify(text, start); code != spec.CodeInvalidToken {
		t.Errorf("by a table of no cluster: %q", code)
	}
}

// TestTheUsersNewestRecordCounts for a session that is known, too.
func TestTheUsersNewestRecordCounts(t *testing.T) {
	i := newIssuer(t, "k1")
	table, text := inSessions(t, i), i.token()
	before, _ := table.Identify(text, start)
	table.PutUser(&wire.User{Id: "u1", Tenant: "umbrella", Name: "ann b.", Groups: []string{"ops"}})
	table.PutBinding(&wire.Binding{Id: "b", Subject: "group:ops", Role: access.Operator})
	who, code := table.Identify(text, start)
	if code != "" || who.Tenant != "umbrella" || who.Name != "ann b." || !who.May(access.ClusterDrain, access.Cluster) {
		t.Errorf("%q: %+v", code, who)
	}
	if before.Tenant != "acme" {
		t.Error("a principal was changed while a request had it")
	}
	table.PutSession(session1())
	if again, _ := table.Identify(text, start); again.Tenant != "umbrella" {
		t.Errorf("after the session was written again: %+v", again)
	}
}

func TestManyTokensAreKnown(t *testing.T) {
	i := newIssuer(t, "k1")
	table := inSessions(t, i)
	var texts [][]byte
	for n := range 300 {
		texts = append(texts, i.token(func(c jwt.MapClaims) { c["jti"] = fmt.Sprint(n) }))
	}
	for range 2 {
		for n, text := range texts {
			if _, code := table.Identify(text, start); code != "" {
				t.Fatalf("%d: %q", n, code)
			}
		}
	}
	n := 0
	if allocs := testing.AllocsPerRun(200, func() { n++; table.Identify(texts[n%len(texts)], start) }); allocs != 0 {
		t.Errorf("%v allocations for a known token", allocs)
	}
}

// FuzzIdentifyToken: of all texts, that of the one token is let in.
func FuzzIdentifyToken(f *testing.F) {
	i := newIssuer(f, "k1")
	table, good := inSessions(f, i), i.token()
	f.Add(good)
	f.Add([]byte("eyJhbGciOiJub25lIn0.e30."))
	f.Add([]byte("a.b.c"))
	f.Add(i.token(func(c jwt.MapClaims) { c["exp"] = 1 }))
	f.Fuzz(func(t *testing.T, text []byte) {
		who, code := table.Identify(text, start)
		if (code == "") != (string(text) == string(good)) || code == "" && who == nil {
			t.Errorf("%q: %q", text, code)
		}
		if _, code := table.IdentifyToken(text, start); (code == "") != (string(text) == string(good)) {
			t.Errorf("%q, as a token: %q", text, code)
		}
	})
}

func FuzzParseSigning(f *testing.F) {
	f.Add(keySet(f, 0, newIssuer(f, "k1")))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseSigning(text); err == nil {
			for _, k := range s.keys {
				if k.name == "" || len(k.public) != ed25519.PublicKeySize {
					t.Errorf("%q gives %+v", text, k)
				}
			}
		}
	})
}
