package pki

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

const plain = "the authority's key, 32 bytes lng"

func sealed(t *testing.T, to map[string][]byte) *wire.Secret {
	t.Helper()
	s, err := Seal("ca", []byte(plain), to)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(s)
	if err != nil || bytes.Contains(raw, []byte(plain)) {
		t.Fatalf("the record has the secret in clear (%v)", err)
	}
	return s
}

func TestOnlyRecipientsOpen(t *testing.T) {
	a, b, c := created(t), created(t), created(t)
	s := sealed(t, map[string][]byte{"a": a.SealPublic(), "b": b.SealPublic()})
	for id, i := range map[spec.NodeID]*Identity{"a": a, "b": b} {
		if got, err := i.OpenSecret(s, id); err != nil || string(got) != plain {
			t.Errorf("%s opened %q, %v", id, got, err)
		}
	}
	for name, try := range map[string]func() ([]byte, error){
		"a stranger":                  func() ([]byte, error) { return c.OpenSecret(s, "c") },
		"a stranger by another's id":  func() ([]byte, error) { return c.OpenSecret(s, "a") },
		"a recipient by another's id": func() ([]byte, error) { return a.OpenSecret(s, "b") },
	} {
		if got, err := try(); !errors.Is(err, ErrNotRecipient) {
			t.Errorf("%s opened %q, %v", name, got, err)
		}
	}
}

// TestTamperingIsSeen changes each part of the record in turn.
func TestTamperingIsSeen(t *testing.T) {
	a, b := created(t), created(t)
	for name, change := range map[string]func(*wire.Secret){
		"ciphertext": func(s *wire.Secret) { s.Ciphertext[0] ^= 1 },
		"nonce":      func(s *wire.Secret) { s.Nonce[0] ^= 1 },
		"no nonce":   func(s *wire.Secret) { s.Nonce = nil },
		"name":       func(s *wire.Secret) { s.Name = "gossip" },
		"wrap":       func(s *wire.Secret) { s.Wrapped[0].Ciphertext[0] ^= 1 },
		"ephemeral":  func(s *wire.Secret) { s.Wrapped[0].Ephemeral[0] ^= 1 },
		"no key":     func(s *wire.Secret) { s.Wrapped[0].Ephemeral = nil },
		"another's":  func(s *wire.Secret) { s.Wrapped[0].Ephemeral = b.SealPublic() },
	} {
		s := sealed(t, map[string][]byte{"a": a.SealPublic()})
		change(s)
		if got, err := a.OpenSecret(s, "a"); err == nil {
			t.Errorf("%s changed: opened %q", name, got)
		}
	}
}

func TestRecipientsComeAndGo(t *testing.T) {
	a, b := created(t), created(t)
	s := sealed(t, map[string][]byte{"a": a.SealPublic()})
	if SealedTo(s, "b") {
		t.Fatal("sealed to b before it was")
	}
	if _, err := b.AddRecipient(s, "b", "b", b.SealPublic()); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("a stranger added itself: %v", err)
	}
	two, err := a.AddRecipient(s, "a", "b", b.SealPublic())
	if err != nil {
		t.Fatal(err)
	}
	if SealedTo(s, "b") {
		t.Error("the old record was changed")
	}
	for id, i := range map[spec.NodeID]*Identity{"a": a, "b": b} {
		if got, err := i.OpenSecret(two, id); err != nil || string(got) != plain {
			t.Errorf("%s opened %q, %v", id, got, err)
		}
	}
	anew := created(t) // b's machine has been replaced
	if two, err = a.AddRecipient(two, "a", "b", anew.SealPublic()); err != nil || len(two.Wrapped) != 2 {
		t.Fatalf("%d wraps, %v", len(two.Wrapped), err)
	}
	if _, err := anew.OpenSecret(two, "b"); err != nil {
		t.Error(err)
	}
	if !SealedToKey(two, "b", anew.SealPublic()) || SealedToKey(two, "b", b.SealPublic()) || SealedToKey(two, "b", nil) || SealedToKey(two, "c", nil) {
		t.Error("it is not told for which of its keys a node can open the secret")
	}
	if _, err := b.OpenSecret(two, "b"); err == nil {
		t.Error("the old key opens still")
	}
	if one := RemoveRecipients(two, "b"); SealedTo(one, "b") || !SealedTo(one, "a") {
		t.Errorf("left: %v", one.Wrapped)
	}
	if _, err := a.AddRecipient(s, "a", "c", []byte("no key")); err == nil {
		t.Error("sealed to what is no key")
	}
}
