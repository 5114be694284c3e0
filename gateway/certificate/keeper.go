package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config of a Keeper.
type Config struct {
	Cert, Key  string                // paths of PEM files; the first may have the chain
	Registerer prometheus.Registerer // nil: no metrics
	Log        *slog.Logger          // required
	Every      time.Duration         // between two looks at the files; 0: 10 s
}

// A Keeper has the pair that is in force.
type Keeper struct {
	cfg     Config
	now     atomic.Pointer[tls.Certificate]
	reloads *prometheus.CounterVec
	mu      struct {
		sync.Mutex
		read state // of the files when they were last read, well or not
	}
}

// state tells whether files have changed.
type state [2]struct {
	at   time.Time
	size int64
}

// Open reads the pair. The error says which file is at fault, and why.
func Open(cfg Config) (*Keeper, error) {
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	k := &Keeper{cfg: cfg}
	k.mu.read = k.state()
	pair, err := load(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, err
	}
	if until := time.Until(pair.Leaf.NotAfter); until < 0 {
		cfg.Log.Warn("the API's certificate has expired: clients will refuse it", "file", cfg.Cert, "expired", pair.Leaf.NotAfter)
	}
	k.now.Store(pair)
	k.measure(cfg.Registerer)
	return k, nil
}

// load reads the pair and says what is wrong with it.
func load(cert, key string) (*tls.Certificate, error) {
	for _, f := range []struct{ what, path string }{{"certificate", cert}, {"key", key}} {
		if f.path == "" {
			return nil, fmt.Errorf("no file is named for the %s: both are needed", f.what)
		}
		if _, err := os.ReadFile(f.path); err != nil {
			var because *fs.PathError
			if errors.As(err, &because) {
				err = because.Err
			}
			return nil, fmt.Errorf("the %s %s cannot be read: %w", f.what, f.path, err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and the key %s do not make a pair: %w", cert, key, err)
	}
	return &pair, nil // Leaf is set
}

// state is that of the files now; one that is not there has none.
func (k *Keeper) state() (s state) {
	for i, path := range []string{k.cfg.Cert, k.cfg.Key} {
		if info, err := os.Stat(path); err == nil {
			s[i].at, s[i].size = info.ModTime(), info.Size()
		}
	}
	return s
}

// Reload reads the pair again. After an error the one that was in force stays so.
func (k *Keeper) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.read = k.state()
	return k.take()
}

// take needs the mutex.
func (k *Keeper) take() error {
	pair, err := load(k.cfg.Cert, k.cfg.Key)
	if err == nil && time.Now().After(pair.Leaf.NotAfter) {
		err = fmt.Errorf("the certificate %s has expired at %s", k.cfg.Cert, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if err != nil {
		k.count("failed")
		k.cfg.Log.Error("the API's certificate was not reloaded: the one before stays in force", "error", err)
		return err
	}
	if before := k.now.Load(); string(before.Leaf.Raw) != string(pair.Leaf.Raw) {
		k.count("taken")
		k.cfg.Log.Info("the API has a new certificate", "file", k.cfg.Cert, "names", pair.Leaf.DNSNames, "expires", pair.Leaf.NotAfter)
	}
	k.now.Store(pair)
	return nil
}

// Run reads the pair again whenever its files have changed, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.look()
		}
	}
}

func (k *Keeper) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.state(); now != k.mu.read {
		k.mu.read = now
		_ = k.take() // it has been logged
	}
}

// TLS is the configuration of a listener that shows the certificate in force to each
// client: of TLS 1.2 and 1.3, with HTTP/1.1.
func (k *Keeper) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.now.Load(), nil },
	}
}

// Expires is when the certificate in force does.
func (k *Keeper) Expires() time.Time { return k.now.Load().Leaf.NotAfter }

func (k *Keeper) measure(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	k.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lotabots_gateway_certificate_reloads_total",
		Help: "New certificates of the API's that were taken, and that failed to be."}, []string{"result"})
	reg.MustRegister(k.reloads, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lotabots_gateway_certificate_expiry_timestamp_seconds",
		Help: "When the API's certificate expires, in Unix time."}, func() float64 { return float64(k.Expires().Unix()) }))
	for _, result := range []string{"taken", "failed"} {
		k.reloads.WithLabelValues(result)
	}
}

func (k *Keeper) count(result string) {
	if k.reloads != nil {
		k.reloads.WithLabelValues(result).Inc()
	}
}
