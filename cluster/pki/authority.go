package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

const (
	authorityLife = 100 * 365 * 24 * time.Hour
	// skew is by how much a certificate begins before it is made: the clocks of
	// two machines differ.
	skew = time.Hour
)

// An Authority signs the certificates of one cluster's nodes. It is immutable.
type Authority struct {
	Cert *x509.Certificate // self-signed; its common name is the cluster's id
	key  ed25519.PrivateKey
	now  func() time.Time
}

// NewAuthority makes the authority of a new cluster.
func NewAuthority(clusterID string, now func() time.Time) (*Authority, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	begin := now().Add(-skew)
	template := &x509.Certificate{
		SerialNumber: serialFor(public), Subject: pkix.Name{CommonName: clusterID},
		NotBefore: begin, NotAfter: begin.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return nil, fmt.Errorf("signing the authority's certificate: %w", err)
	}
	return ParseAuthority(der, key.Seed(), now)
}

// MarshalKey returns the authority's secret, 32 bytes. Whoever has it can make
// members: it leaves the process only sealed.
func (a *Authority) MarshalKey() []byte { return a.key.Seed() }

// ParseAuthority makes an authority of its certificate and of what MarshalKey gave.
func ParseAuthority(certDER, key []byte, now func() time.Time) (*Authority, error) {
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	if len(key) != ed25519.SeedSize {
		return nil, fmt.Errorf("the authority's key has %d bytes, want %d", len(key), ed25519.SeedSize)
	}
	a := &Authority{Cert: cert, key: ed25519.NewKeyFromSeed(key), now: now}
	if public, ok := cert.PublicKey.(ed25519.PublicKey); !ok || !public.Equal(a.key.Public()) {
		return nil, errors.New("the authority's key is not that of its certificate")
	}
	return a, nil
}

// A SignRequest is what the authority vouches for.
type SignRequest struct {
	ID    spec.NodeID
	Roles []spec.Role
	TTL   time.Duration // from now
}

// Sign certifies that the key of the signing request (PKCS#10, DER) is that of
// the node named by r. What the request says of itself is ignored, but that its
// sender has the key is checked. It returns the certificate in DER.
func (a *Authority) Sign(csrDER []byte, r SignRequest) ([]byte, error) {
	public, err := RequestKey(csrDER)
	if err != nil {
		return nil, err
	}
	if err := r.ID.Valid(); err != nil {
		return nil, err
	}
	if len(r.Roles) == 0 || r.TTL <= 0 {
		return nil, errors.New("a certificate needs a role and a time to live")
	}
	var units []string
	for _, role := range r.Roles {
		if !spec.ValidRole(role) {
			return nil, fmt.Errorf("%q is no role", string(role))
		}
		if !slices.Contains(units, string(role)) {
			units = append(units, string(role))
		}
	}
	now := a.now()
	end := now.Add(r.TTL)
	if end.After(a.Cert.NotAfter) {
		end = a.Cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serialFor(public), Subject: pkix.Name{CommonName: string(r.ID), OrganizationalUnit: units},
		DNSNames: []string{string(r.ID)}, NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of node %s: %w", r.ID, err)
	}
	return der, nil
}

// RequestKey returns the key of a signing request whose sender has it.
func RequestKey(csrDER []byte) (ed25519.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, fmt.Errorf("the signing request: %w", err)
	}
	public, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the signing request has a %s key, want Ed25519", csr.PublicKeyAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the signing request: %w", err)
	}
	return public, nil
}

const markBytes = 12

// Mark is what identifies a key wherever only a certificate's serial number is kept.
func Mark(public ed25519.PublicKey) string {
	sum := sha256.Sum256(append([]byte("lotabots key mark\x00"), public...))
	return hex.EncodeToString(sum[:markBytes])
}

// MarkOf returns the mark of the key that the certificate with this serial
// number (hex) is for, or "" if an Authority made no such number.
func MarkOf(serial string) string {
	if len(serial) != 1+2*markBytes+12 || serial[0] != '1' {
		return ""
	}
	return serial[1 : 1+2*markBytes]
}

// serialFor is 1, the mark and 48 random bits: 19 bytes, of the 20 allowed.
func serialFor(public ed25519.PublicKey) *big.Int {
	raw := make([]byte, 6)
	_, _ = rand.Read(raw) // never fails
	serial, ok := new(big.Int).SetString("1"+Mark(public)+hex.EncodeToString(raw), 16)
	if !ok {
		panic("pki: a serial number of hex digits does not parse")
	}
	return serial
}
