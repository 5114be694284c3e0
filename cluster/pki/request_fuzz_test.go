package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
)

// FuzzRequestKey: a key is taken from a signing request only if its sender has proven that it has it.
func FuzzRequestKey(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "n"}}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) {
		public, err := RequestKey(raw)
		if err != nil {
			return
		}
		csr, err := x509.ParseCertificateRequest(raw)
		if err != nil || csr.CheckSignature() != nil || !public.Equal(csr.PublicKey) || len(public) != ed25519.PublicKeySize {
			t.Errorf("took key %x of %x", public, raw)
		}
	})
}

// FuzzMarkOf: what is no number that an authority makes has no mark, and nothing is out of bounds.
func FuzzMarkOf(f *testing.F) {
	f.Add("")
	f.Add("1" + Mark(make(ed25519.PublicKey, ed25519.PublicKeySize)) + "000000000000")
	f.Fuzz(func(t *testing.T, serial string) {
		if mark := MarkOf(serial); mark != "" && (len(mark) != 2*markBytes || serial[0] != '1') {
			t.Errorf("%q has the mark %q", serial, mark)
		}
	})
}
