package session

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lotabots/lotabots/cluster/spec"
)

func keysOf(t testing.TB, public []byte) spec.SigningKeys {
	t.Helper()
	var out spec.SigningKeys
	if err := json.Unmarshal(public, &out); err != nil || len(out.Keys) == 0 {
		t.Fatalf("the public part is no set of keys: %s, %v", public, err)
	}
	return out
}

// checked reads an access token as a gateway does: with the keys that are
// published, at that time.
func checked(keys spec.SigningKeys, text string, now time.Time) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(spec.TokenIssuer), jwt.WithAudience(cluster),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }),
	).ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) {
		for _, k := range keys.Keys {
			if k.ID == t.Header["kid"] && (k.NotAfterMS == 0 || now.UnixMilli() < k.NotAfterMS) {
				return ed25519.PublicKey(k.Public), nil
			}
		}
		return nil, jwt.ErrTokenUnverifiable
	})
	return claims, err
}

func TestAccessTokenSaysWhoAndHowLong(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	w.state.settings[spec.SettingSessionEpoch] = "18446744073709551615"
	u := w.local("ada", "")
	g, err := s.begin(t.Context(), must(s.keys()), beginning{user: u.Id, method: methodOIDC, id: random(idLen)})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := checked(w.published(), g.AccessToken, w.clock())
	if err != nil {
		t.Fatal(err)
	}
	if claims["sub"] != u.Id || claims["sid"] != g.Session || g.User != u.Id {
		t.Errorf("the claims are %v", claims)
	}
	if aud, one := claims["aud"].(string); !one || aud != cluster {
		t.Errorf("the audience is %v", claims["aud"])
	}
	payload := strings.Split(g.AccessToken, ".")[1]
	raw, err := jwt.NewParser().DecodeSegment(payload)
	if err != nil || !strings.Contains(string(raw), `"epoch":18446744073709551615`) {
		t.Errorf("the epoch is not a whole number: %s, %v", raw, err)
	}
	if want := w.clock().Add(defaultAccessTTL).Unix() * 1000; g.ExpiresMS != want {
		t.Errorf("expires at %d, want %d", g.ExpiresMS, want)
	}
	if want := w.clock().Add(defaultSessionTTL).UnixMilli(); g.SessionExpiresMS != want {
		t.Errorf("the session expires at %d, want %d", g.SessionExpiresMS, want)
	}
	if record, _ := w.state.Session(g.Session); g.Index != w.state.index || record.Epoch != 18446744073709551615 {
		t.Errorf("index %d, want %d; the record is %v", g.Index, w.state.index, record)
	}
	if _, err := checked(w.published(), g.AccessToken, w.clock().Add(defaultAccessTTL+time.Second)); err == nil {
		t.Error("an expired token was taken")
	}
}

// TestNoTokenOutlivesItsSession: nor does one outlive the key that signs it.
func TestNoTokenOutlivesItsSession(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	w.local("ada", "")
	w.state.settings[spec.SettingSessionTTL], w.state.settings[spec.SettingAccessTTL] = "5s", "1h"
	g, err := s.begin(t.Context(), must(s.keys()), beginning{user: "id-ada", method: methodOIDC, id: random(idLen)})
	if err != nil {
		t.Fatal(err)
	}
	if g.ExpiresMS > g.SessionExpiresMS || g.SessionExpiresMS != w.clock().Add(5*time.Second).UnixMilli() {
		t.Errorf("the token lasts until %d, the session until %d", g.ExpiresMS, g.SessionExpiresMS)
	}
	w.state.settings[spec.SettingSessionTTL], w.state.settings[spec.SettingAccessTTL] = "", "1m"
	if err := s.change(t.Context(), expel); err != nil {
		t.Fatal(err)
	}
	w.state.settings[spec.SettingAccessTTL] = "24h" // more than the key had been given
	w.pass(publishedFor - 1)
	if g, err = s.begin(t.Context(), must(s.keys()), beginning{user: "id-ada", method: methodOIDC, id: random(idLen)}); err != nil {
		t.Fatal(err)
	}
	if old := w.published().Keys[0]; old.NotAfterMS == 0 || g.ExpiresMS > old.NotAfterMS {
		t.Errorf("the token lasts until %d, its key until %d", g.ExpiresMS, old.NotAfterMS)
	}
}

func TestSettingsThatAreNoDurationsDoNoHarm(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	for text, want := range map[string]time.Duration{"": defaultAccessTTL, "ten minutes": defaultAccessTTL, "-5m": shortest, "0s": shortest, "9000h": longestAccess, "90s": 90 * time.Second} {
		w.state.set(func() { w.state.settings[spec.SettingAccessTTL] = text })
		if got := s.accessTTL(); got != want {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
	}
}

// TestForgedTokens: what does not carry the cluster's own signature is refused by
// the keys that are published.
func TestForgedTokens(t *testing.T) {
	w := newWorld(t, "n1")
	s := w.server("n1")
	w.local("ada", "")
	g, err := s.begin(t.Context(), must(s.keys()), beginning{user: "id-ada", method: methodOIDC, id: random(idLen)})
	if err != nil {
		t.Fatal(err)
	}
	ring := must(s.keys())
	stranger := newKey(w.clock())
	stranger.ID = ring.newest().ID
	claims := func(aud string) jwt.MapClaims {
		return jwt.MapClaims{"iss": spec.TokenIssuer, "aud": aud, "sub": "id-ada", "sid": g.Session, "exp": w.clock().Add(time.Minute).Unix()}
	}
	text := func(m jwt.SigningMethod, key any, aud string) string {
		tok := jwt.NewWithClaims(m, claims(aud))
		tok.Header["kid"] = ring.newest().ID
		out, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if _, err := checked(w.published(), text(jwt.SigningMethodEdDSA, ring.newest().private(), cluster), w.clock()); err != nil {
		t.Fatal(err) // else the others prove nothing
	}
	parts := strings.Split(g.AccessToken, ".")
	for name, forged := range map[string]string{
		"another's key":       text(jwt.SigningMethodEdDSA, stranger.private(), cluster),
		"another audience":    text(jwt.SigningMethodEdDSA, ring.newest().private(), "lb-other"),
		"none":                text(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, cluster),
		"public key as HMAC":  text(jwt.SigningMethodHS256, w.published().Keys[0].Public, cluster),
		"another's signature": parts[0] + "." + parts[1] + "." + strings.Split(text(jwt.SigningMethodEdDSA, ring.newest().private(), cluster), ".")[2],
		"no signature":        parts[0] + "." + parts[1] + ".",
	} {
		if _, err := checked(w.published(), forged, w.clock()); err == nil {
			t.Errorf("a forged token was taken: %s", name)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encodingOf(segment string) ([]byte, error) { return jwt.NewParser().DecodeSegment(segment) }

func rawClaims(t testing.TB, text string) map[string]json.RawMessage {
	t.Helper()
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
