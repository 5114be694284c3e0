package pki

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
)

// An Identity is a node's keys and, once it is a member, its certificate. The
// keys never leave the directory; Install replaces the certificate while others
// use it. Its methods may be called at the same time.
type Identity struct {
	dir    string
	key    ed25519.PrivateKey
	seal   *ecdh.PrivateKey
	active atomic.Pointer[installed] // nil before the first Install
}

type installed struct {
	leaf, authority *x509.Certificate
	tls             *tls.Certificate
}

// CreateIdentity makes new keys in dir, which is made too. Keys that are there
// already are an error: they may be all that a node is known by.
func CreateIdentity(dir string) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, keysFile)); err == nil {
		return nil, fmt.Errorf("%s has keys already: %w", dir, os.ErrExist)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	seal, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := writeKeys(dir, key, seal); err != nil {
		return nil, err
	}
	return &Identity{dir: dir, key: key, seal: seal}, nil
}

// OpenIdentity reads the keys in dir and the certificate, if one was installed.
// Where there are no keys, the error wraps os.ErrNotExist.
func OpenIdentity(dir string) (*Identity, error) {
	key, seal, err := readKeys(dir)
	if err != nil {
		return nil, err
	}
	i := &Identity{dir: dir, key: key, seal: seal}
	leaf, authority, err := readCertificates(dir)
	if errors.Is(err, os.ErrNotExist) {
		return i, nil
	}
	if err != nil {
		return nil, err
	}
	in, err := i.check(leaf, authority)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, certificatesFile), err)
	}
	i.active.Store(in)
	return i, nil
}

// CSR makes a signing request (PKCS#10, DER). It names nobody: who the node is
// to be is said beside it.
func (i *Identity) CSR() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "lotabots node"}}, i.key)
}

// Install keeps the certificate, which must be of this identity's key and of
// that authority, on disk and then in use. A crash leaves the old pair or the new.
func (i *Identity) Install(certDER, authorityDER []byte) error {
	in, err := i.check(certDER, authorityDER)
	if err != nil {
		return err
	}
	if err := writeCertificates(i.dir, certDER, authorityDER); err != nil {
		return fmt.Errorf("keeping the certificate: %w", err)
	}
	i.active.Store(in)
	return nil
}

// check does not look at the time: an expired certificate is good to renew itself.
func (i *Identity) check(certDER, authorityDER []byte) (*installed, error) {
	leaf, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	authority, err := x509.ParseCertificate(authorityDER)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	if public, ok := leaf.PublicKey.(ed25519.PublicKey); !ok || !public.Equal(i.key.Public()) {
		return nil, errors.New("the certificate is not of this node's key")
	}
	if _, err := Verify(leaf, authority, leaf.NotAfter); err != nil {
		return nil, err
	}
	return &installed{leaf, authority, &tls.Certificate{
		Certificate: [][]byte{certDER, authorityDER}, PrivateKey: i.key, Leaf: leaf,
	}}, nil
}

// Leaf is the node's certificate, or nil before the first Install.
func (i *Identity) Leaf() *x509.Certificate {
	if in := i.active.Load(); in != nil {
		return in.leaf
	}
	return nil
}

// Authority is the cluster's authority, or nil before the first Install.
func (i *Identity) Authority() *x509.Certificate {
	if in := i.active.Load(); in != nil {
		return in.authority
	}
	return nil
}

// Certificate is what TLS presents: the node's certificate, then the authority's,
// which a joining node compares to its token. nil before the first Install.
func (i *Identity) Certificate() *tls.Certificate {
	if in := i.active.Load(); in != nil {
		return in.tls
	}
	return nil
}

// SealPublic is the key (X25519, 32 bytes) that secrets for this node are sealed to.
func (i *Identity) SealPublic() []byte { return i.seal.PublicKey().Bytes() }

// Mark identifies the identity's key; see Mark.
func (i *Identity) Mark() string { return Mark(i.key.Public().(ed25519.PublicKey)) }
