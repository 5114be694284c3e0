package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// putPair writes a new certificate for 127.0.0.1 and its key into dir.
func putPair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheAPISpeaksTLS, and a reload takes a new certificate; one that is no good says
// so at the start.
func TestTheAPISpeaksTLS(t *testing.T) {
	dir := t.TempDir()
	putPair(t, dir, "one")
	n := &testNode{t: t, cfg: configured(t, "n1", "north", allRoles...), logs: &lockedBuffer{}}
	n.cfg.API.TLSCert, n.cfg.API.TLSKey = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	result, err := Init(n.cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	shown := func() string {
		res, err := client.Get("https://" + n.cfg.API.Listen + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.TLS.PeerCertificates[0].Subject.CommonName
	}
	if !strings.HasPrefix(result.Endpoint, "https://") || shown() != "one" {
		t.Errorf("at %s: %s", result.Endpoint, shown())
	}
	putPair(t, dir, "two")
	if _, err := n.node.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "two" {
		t.Errorf("%s is shown", got)
	}
	n.stop()
	n.node = nil
	if err := os.Remove(n.cfg.API.TLSKey); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), n.cfg, "test", n.logs); spec.CodeOf(err) != spec.CodeInvalidRequest || !strings.Contains(err.Error(), "tls.key cannot be read") {
		t.Errorf("%v", err)
	}
}
