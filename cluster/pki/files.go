package pki

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// The two files of an identity. Each is replaced whole, so that no crash leaves
// half a pair.
const (
	keysFile         = "keys.pem"         // the signing key, then the key for sealed values; PKCS#8
	certificatesFile = "certificates.pem" // the node's, then the authority's
)

func writeKeys(dir string, key ed25519.PrivateKey, seal *ecdh.PrivateKey) error {
	var out []byte
	for _, k := range []any{key, seal} {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			return err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return whole.Write(filepath.Join(dir, keysFile), out)
}

func readKeys(dir string) (ed25519.PrivateKey, *ecdh.PrivateKey, error) {
	path := filepath.Join(dir, keysFile)
	blocks, err := readBlocks(path, "PRIVATE KEY", 2)
	if err != nil {
		return nil, nil, err
	}
	first, err := x509.ParsePKCS8PrivateKey(blocks[0])
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	second, err := x509.ParsePKCS8PrivateKey(blocks[1])
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok1 := first.(ed25519.PrivateKey)
	seal, ok2 := second.(*ecdh.PrivateKey)
	if !ok1 || !ok2 || seal.Curve() != ecdh.X25519() {
		return nil, nil, fmt.Errorf("%s is damaged: want an Ed25519 key and an X25519 key", path)
	}
	return key, seal, nil
}

func writeCertificates(dir string, cert, authority []byte) error {
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority})...)
	return whole.Write(filepath.Join(dir, certificatesFile), out)
}

func readCertificates(dir string) (cert, authority []byte, err error) {
	blocks, err := readBlocks(filepath.Join(dir, certificatesFile), "CERTIFICATE", 2)
	if err != nil {
		return nil, nil, err
	}
	return blocks[0], blocks[1], nil
}

func readBlocks(path, kind string, count int) ([][]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(out) < count {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil || block.Type != kind {
			return nil, fmt.Errorf("%s is damaged: want %d PEM blocks of type %s; restore it from a backup, or join again", path, count, kind)
		}
		out = append(out, block.Bytes)
	}
	return out, nil
}
