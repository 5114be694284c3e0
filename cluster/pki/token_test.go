package pki

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

func token(t testing.TB) (string, Token) {
	t.Helper()
	text, record, err := NewToken(spec.RoleWorker, time.Hour, 3, []byte("the authority"), at(start))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != record.Id || string(HashSecret(got.Secret)) != string(record.Hash) || got.Pin != sha256.Sum256([]byte("the authority")) {
		t.Fatalf("%+v is not what %+v says", got, record)
	}
	if len(got.Secret)*8 < 160 {
		t.Fatalf("a secret of %d bits", len(got.Secret)*8)
	}
	if record.Role != "worker" || record.UsesLeft != 3 || record.ExpiresMs != start.Add(time.Hour).UnixMilli() || record.CreatedMs != start.UnixMilli() {
		t.Fatalf("got %+v", record)
	}
	return text, got
}

func TestTokensAreNeverAlike(t *testing.T) {
	a, first := token(t)
	b, second := token(t)
	if a == b || first.ID == second.ID || string(first.Secret) == string(second.Secret) {
		t.Error("two tokens are alike")
	}
}

func TestParseTokenForgives(t *testing.T) {
	text, want := token(t)
	for _, given := range []string{" " + text + "\n", strings.ToUpper(text)} {
		if got, err := ParseToken(given); err != nil || got.ID != want.ID {
			t.Errorf("%q: %v", given, err)
		}
	}
}

// TestEveryTypingErrorIsFound changes each character, and swaps each pair.
func TestEveryTypingErrorIsFound(t *testing.T) {
	text, want := token(t)
	check := func(given string) {
		t.Helper()
		got, err := ParseToken(given)
		if err == nil && (got.ID != want.ID || string(got.Secret) != string(want.Secret) || got.Pin != want.Pin) {
			t.Errorf("%q was taken as another token", given)
		}
		if err == nil && given[:len(given)-1] != text[:len(text)-1] { // the last character has unused bits
			t.Errorf("%q was taken", given)
		}
		if err != nil && spec.CodeOf(err) != spec.CodeTokenInvalid {
			t.Errorf("%q: %v", given, err)
		}
	}
	for i := range text {
		for _, c := range "az27\n-" {
			if byte(c) != text[i] {
				check(text[:i] + string(c) + text[i+1:])
			}
		}
		if i > 0 && text[i] != text[i-1] {
			check(text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:])
		}
		check(text[:i])
		check(text[:i] + text[i+1:])
	}
	check(text + "a")
}

func TestNewTokenRefuses(t *testing.T) {
	for name, try := range map[string]func() error{
		"role": func() error { _, _, err := NewToken("root", time.Hour, 1, []byte("a"), at(start)); return err },
		"ttl":  func() error { _, _, err := NewToken(spec.RoleVoter, 0, 1, []byte("a"), at(start)); return err },
		"uses": func() error { _, _, err := NewToken(spec.RoleVoter, time.Hour, 0, []byte("a"), at(start)); return err },
		"pin":  func() error { _, _, err := NewToken(spec.RoleVoter, time.Hour, 1, nil, at(start)); return err },
	} {
		if try() == nil {
			t.Errorf("a token without a good %s was made", name)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	text, _ := token(f)
	for _, seed := range []string{text, "", tokenPrefix, text[:50], strings.Replace(text, "a", "\n", 1), tokenPrefix + strings.Repeat("\n", 100), tokenPrefix + strings.Repeat("é", 50)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got, err := ParseToken(given)
		if err != nil {
			if spec.CodeOf(err) != spec.CodeTokenInvalid {
				t.Errorf("%v has not the code of a bad token", err)
			}
			return
		}
		if len(got.ID) != 2*idBytes || len(got.Secret) != secretBytes {
			t.Errorf("%q gave %+v", given, got)
		}
	})
}
