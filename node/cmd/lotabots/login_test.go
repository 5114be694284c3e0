package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

// door is a gateway's /auth/v1 as far as the command line goes.
type door struct {
	mu    sync.Mutex
	asked []string
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(raw))
	_ = json.NewEncoder(w).Encode(spec.Granted{AccessToken: "access", RefreshToken: "refresh", User: "u1", Session: "s1",
		ExpiresMS: time.Now().Add(time.Hour).UnixMilli(), SessionExpiresMS: time.Now().Add(24 * time.Hour).UnixMilli()})
}

func (d *door) first() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[0]
}

func (d *door) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[len(d.asked)-1]
}

func openDoor(t *testing.T) (*door, string) {
	t.Helper()
	t.Setenv("LOTABOTS_CONTEXT", filepath.Join(t.TempDir(), "context.json"))
	t.Setenv("LOTABOTS_API_KEY", "")
	t.Setenv("LOTABOTS_ENDPOINT", "")
	d := &door{}
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)
	return d, s.URL
}

func TestLoginByPassword(t *testing.T) {
	d, endpoint := openDoor(t)
	root := rootCommand()
	root.SetArgs([]string{"login", "--endpoint", endpoint, "--key", "of nobody's business", "--name", "anna", "--password-stdin"})
	root.SetIn(strings.NewReader("correct horse\n"))
	root.SetOut(io.Discard)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := d.first(); got != `POST /auth/v1/login  {"name":"anna","password":"correct horse"}` {
		t.Errorf("asked %s", got)
	}
	if s := client.SavedSession(); s == nil || s.RefreshToken != "refresh" {
		t.Fatalf("remembered %+v", s)
	}
	if _, err := run(t, "logout", "--everywhere"); err != nil {
		t.Fatal(err)
	}
	if got := d.last(); got != `POST /auth/v1/logout Bearer access {"everywhere":true}` || client.SavedSession() != nil {
		t.Errorf("asked %s, and %+v is remembered", got, client.SavedSession())
	}
	if _, err := run(t, "logout"); err == nil || !strings.Contains(err.Error(), "nobody is logged in") {
		t.Errorf("a second time: %v", err)
	}
}

func TestLoginWithoutATerminal(t *testing.T) {
	_, endpoint := openDoor(t)
	if _, err := run(t, "login", "--endpoint", endpoint, "--name", "anna"); err == nil || !strings.Contains(err.Error(), "--password-stdin") {
		t.Errorf("got %v", err)
	}
}

// TestLoginBySingleSignOn is the browser: it goes where the command says, and
// comes back with a code.
func TestLoginBySingleSignOn(t *testing.T) {
	d, endpoint := openDoor(t)
	root := rootCommand()
	root.SetArgs([]string{"login", "--endpoint", endpoint, "--sso", "--browser=false"})
	told, tell := io.Pipe()
	root.SetOut(io.Discard)
	root.SetErr(tell)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(t.Context()); _ = tell.Close() }()
	var text strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(text.String(), "challenge=") || !strings.HasSuffix(text.String(), "\n") {
		n, err := told.Read(buffer)
		if err != nil {
			t.Fatal(err, <-ended)
		}
		text.Write(buffer[:n])
	}
	_, address, _ := strings.Cut(text.String(), "\n  ")
	at, err := url.Parse(strings.TrimSpace(address))
	if err != nil || at.Path != "/auth/v1/oidc/login" || "http://"+at.Host != endpoint {
		t.Fatalf("sent to %s, %v", address, err)
	}
	answer, err := http.Get(at.Query().Get("loopback") + "?code=once")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("back in the terminal: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	_, raw, _ := strings.Cut(d.first(), "{")
	var ask struct{ Code, Verifier string }
	if err := json.Unmarshal([]byte("{"+raw), &ask); err != nil || ask.Code != "once" {
		t.Fatalf("asked %s, %v", d.first(), err)
	}
	if sum := sha256.Sum256([]byte(ask.Verifier)); base64.RawURLEncoding.EncodeToString(sum[:]) != at.Query().Get("challenge") {
		t.Error("the challenge is not the verifier's")
	}
}
