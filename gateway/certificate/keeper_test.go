package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write puts a new pair into dir, and returns its certificate.
func write(t *testing.T, dir, name string, expires time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func open(t *testing.T, dir string) (*Keeper, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	k, err := Open(Config{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), Log: slog.New(slog.DiscardHandler), Registerer: reg, Every: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return k, reg
}

// measured is the metric whose name ends so, with the label's value; empty: whatever it is.
func measured(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if strings.HasSuffix(f.GetName(), name) && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, label)
	return 0
}

// shown is the name in the certificate that a real handshake gets.
func shown(t *testing.T, k *Keeper, most uint16) (string, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		_ = tls.Server(theirs, k.TLS()).Handshake()
	}()
	c := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, MaxVersion: most})
	err := c.Handshake()
	ours.Close()
	<-done
	if err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	log := slog.New(slog.DiscardHandler)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, dir, "one", time.Now().Add(time.Hour))
	write(t, other, "two", time.Now().Add(time.Hour))
	if err := os.WriteFile(at("text"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cert, key, says string }{
		{at("cert"), "", "no file is named for the key"},
		{at("none"), at("key"), "the certificate " + at("none") + " cannot be read: no such file"},
		{at("cert"), at("none"), "the key " + at("none") + " cannot be read: no such file"},
		{at("cert"), filepath.Join(other, "key"), "do not make a pair"},
		{at("text"), at("key"), "do not make a pair"},
		{at("key"), at("cert"), "do not make a pair"},
	} {
		if _, err := Open(Config{Cert: c.cert, Key: c.key, Log: log}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s and %s: %v", c.cert, c.key, err)
		}
	}
}

// TestANewPairIsShown without a restart, and a bad one is not.
func TestANewPairIsShown(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one", time.Now().Add(time.Hour))
	k, reg := open(t, dir)
	want := func(name string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			k.look()
			got, err := shown(t, k, 0)
			if err == nil && got == name {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%q is shown, %v; want %q", got, err, name)
			}
		}
	}
	want("one")
	write(t, dir, "three", time.Now().Add(2*time.Hour))
	want("three")
	expires := k.Expires()
	for name, spoil := range map[string]func(){
		"no key": func() { _ = os.Remove(filepath.Join(dir, "key")) },
		"another's key": func() {
			other := t.TempDir()
			write(t, other, "x", expires)
			_ = os.Rename(filepath.Join(other, "key"), filepath.Join(dir, "key"))
		},
		"half a file":     func() { _ = os.WriteFile(filepath.Join(dir, "cert"), []byte("-----BEGIN CERT"), 0o600) },
		"an expired pair": func() { write(t, dir, "late", time.Now().Add(-time.Minute)) },
	} {
		spoil()
		if err := k.Reload(); err == nil {
			t.Errorf("%s is taken", name)
		}
		if got, err := shown(t, k, 0); err != nil || got != "three" || k.Expires() != expires {
			t.Errorf("%s: %q is shown, %v", name, got, err)
		}
	}
	write(t, dir, "four", time.Now().Add(3*time.Hour))
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	want("four")
	if taken, failed := measured(t, reg, "reloads_total", "taken"), measured(t, reg, "reloads_total", "failed"); taken < 2 || failed < 4 {
		t.Errorf("%v taken, %v failed", taken, failed)
	}
	if at := measured(t, reg, "expiry_timestamp_seconds", ""); int64(at) != k.Expires().Unix() {
		t.Errorf("expires at %v", at)
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one", time.Now().Add(time.Hour))
	k, _ := open(t, dir)
	for version, good := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		if _, err := shown(t, k, version); (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestRunLooks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one", time.Now().Add(time.Hour))
	k, _ := open(t, dir)
	stop := make(chan struct{})
	go func() { defer close(stop); k.Run(t.Context()) }()
	next := write(t, dir, "two", time.Now().Add(2*time.Hour))
	for end := time.Now().Add(30 * time.Second); !bytes.Equal(k.now.Load().Leaf.Raw, next.Raw); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the change was not seen")
		}
	}
	t.Cleanup(func() { <-stop })
}
