package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := NewAuthority("lb-test", at(start))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func created(t *testing.T) *Identity {
	t.Helper()
	i, err := CreateIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func csr(t *testing.T, i *Identity) []byte {
	t.Helper()
	raw, err := i.CSR()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// member is an identity with a certificate of an hour.
func member(t *testing.T, a *Authority, id spec.NodeID, roles ...spec.Role) *Identity {
	t.Helper()
	i := created(t)
	der, err := a.Sign(csr(t, i), SignRequest{ID: id, Roles: roles, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Install(der, a.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestACertificateSaysWhoItIs(t *testing.T) {
	a := authority(t)
	i := member(t, a, "n1", spec.RoleWorker, spec.RoleGateway)
	s, err := Verify(i.Leaf(), i.Authority(), start.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != "n1" || !slices.Equal(s.Roles, []spec.Role{spec.RoleWorker, spec.RoleGateway}) || s.Expired {
		t.Errorf("got %+v", s)
	}
	if s.Has(spec.RoleVoter) || !s.Has(spec.RoleWorker) {
		t.Error("Has does not go by the roles")
	}
	if MarkOf(s.Serial) != i.Mark() || i.Mark() == "" {
		t.Errorf("the serial %s does not carry the mark %s", s.Serial, i.Mark())
	}
}

func TestVerifyGoesByTheClock(t *testing.T) {
	a := authority(t)
	i := member(t, a, "n1", spec.RoleWorker)
	for _, c := range []struct {
		when          time.Duration
		good, expired bool
	}{
		{-2 * time.Hour, false, false}, // its time has not come, skew included
		{-30 * time.Minute, true, false},
		{59 * time.Minute, true, false},
		{61 * time.Minute, true, true},
		{3 * 365 * 24 * time.Hour, true, true},
	} {
		s, err := Verify(i.Leaf(), i.Authority(), start.Add(c.when))
		if (err == nil) != c.good || s.Expired != c.expired {
			t.Errorf("after %v: %+v, %v", c.when, s, err)
		}
	}
}

func TestAnotherAuthorityIsNotTrusted(t *testing.T) {
	ours, theirs := authority(t), authority(t) // of one name
	i := member(t, theirs, "n1", spec.RoleVoter)
	if _, err := Verify(i.Leaf(), ours.Cert, start); !errors.Is(err, ErrUntrusted) {
		t.Errorf("the other authority's certificate: %v", err)
	}
	if _, err := Verify(ours.Cert, ours.Cert, start); !errors.Is(err, ErrUntrusted) {
		t.Errorf("the authority as a node: %v", err)
	}
	if _, err := Verify(nil, ours.Cert, start); !errors.Is(err, ErrUntrusted) {
		t.Errorf("no certificate: %v", err)
	}
}

// TestANodeCannotSign tries to use a node's certificate as an authority's.
func TestANodeCannotSign(t *testing.T) {
	a := authority(t)
	rogue, victim := member(t, a, "rogue", spec.RoleGateway), created(t)
	public, err := RequestKey(csr(t, victim))
	if err != nil {
		t.Fatal(err)
	}
	template := *rogue.Leaf()
	template.Subject.CommonName, template.SerialNumber = "boss", serialFor(public)
	der, err := x509.CreateCertificate(rand.Reader, &template, rogue.Leaf(), public, rogue.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(leaf, a.Cert, start); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a certificate signed by a node: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	a, i := authority(t), created(t)
	good := csr(t, i)
	weak, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1 // in the signature: whoever sends it lacks the key
	worker := []spec.Role{spec.RoleWorker}
	for name, c := range map[string]struct {
		csr []byte
		r   SignRequest
	}{
		"no request":        {nil, SignRequest{ID: "n1", Roles: worker, TTL: time.Hour}},
		"garbage":           {[]byte("garbage"), SignRequest{ID: "n1", Roles: worker, TTL: time.Hour}},
		"another algorithm": {other, SignRequest{ID: "n1", Roles: worker, TTL: time.Hour}},
		"a bad signature":   {forged, SignRequest{ID: "n1", Roles: worker, TTL: time.Hour}},
		"a bad id":          {good, SignRequest{ID: "N 1", Roles: worker, TTL: time.Hour}},
		"no role":           {good, SignRequest{ID: "n1", TTL: time.Hour}},
		"an unknown role":   {good, SignRequest{ID: "n1", Roles: []spec.Role{"root"}, TTL: time.Hour}},
		"no time":           {good, SignRequest{ID: "n1", Roles: worker}},
	} {
		if der, err := a.Sign(c.csr, c.r); err == nil {
			t.Errorf("%s: signed %d bytes", name, len(der))
		}
	}
}

func TestAuthorityComesBackFromItsKey(t *testing.T) {
	a := authority(t)
	b, err := ParseAuthority(a.Cert.Raw, a.MarshalKey(), at(start))
	if err != nil {
		t.Fatal(err)
	}
	i := member(t, b, "n1", spec.RoleVoter)
	if _, err := Verify(i.Leaf(), a.Cert, start); err != nil {
		t.Error(err)
	}
	if _, err := ParseAuthority(a.Cert.Raw, authority(t).MarshalKey(), at(start)); err == nil {
		t.Error("another authority's key was taken")
	}
	if _, err := ParseAuthority(a.Cert.Raw, []byte("short"), at(start)); err == nil {
		t.Error("a short key was taken")
	}
}

func TestMarkOfForeignSerials(t *testing.T) {
	for _, serial := range []string{"", "1", "2a", "0123456789abcdef0123456789abcdef01234"} {
		if m := MarkOf(serial); m != "" {
			t.Errorf("%q has the mark %q", serial, m)
		}
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, b := serialFor(public).Text(16), serialFor(public).Text(16)
	if a == b || MarkOf(a) != MarkOf(b) || MarkOf(a) != Mark(public) {
		t.Errorf("serials %s and %s of one key", a, b)
	}
}

func TestIdentityOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "identity")
	if _, err := OpenIdentity(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("opening none: %v", err)
	}
	i, err := CreateIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateIdentity(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("the keys were made anew: %v", err)
	}
	if i.Leaf() != nil || i.Certificate() != nil || i.Authority() != nil {
		t.Error("a new identity has a certificate")
	}
	a := authority(t)
	der, err := a.Sign(csr(t, i), SignRequest{ID: "n1", Roles: []spec.Role{spec.RoleVoter}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Install(der, a.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	again, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.SealPublic(), i.SealPublic()) || !again.Leaf().Equal(i.Leaf()) || !again.Authority().Equal(a.Cert) {
		t.Error("the identity came back as another")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestInstallTakesOnlyItsOwn(t *testing.T) {
	a := authority(t)
	i, other := member(t, a, "n1", spec.RoleVoter), member(t, a, "n2", spec.RoleVoter)
	was := i.Leaf()
	if err := i.Install(other.Leaf().Raw, a.Cert.Raw); err == nil {
		t.Error("another node's certificate was installed")
	}
	if err := i.Install(was.Raw, authority(t).Cert.Raw); err == nil {
		t.Error("another authority was installed")
	}
	if i.Leaf() != was {
		t.Error("a refused certificate is in use")
	}
}

func TestDamagedFilesAreTold(t *testing.T) {
	a := authority(t)
	for _, name := range []string{keysFile, certificatesFile} {
		i := member(t, a, "n1", spec.RoleVoter)
		if err := os.WriteFile(filepath.Join(i.dir, name), []byte("-----BEGIN NOTHING-----"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIdentity(i.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s damaged: %v", name, err)
		}
	}
}
