package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// issuer answers refreshes as a gateway does, each token once, and tells which
// credential a call came with.
func issuer(t *testing.T) (endpoint string, refreshes func() int) {
	t.Helper()
	var mu sync.Mutex
	count, good := 0, "r0"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/auth/v1/refresh" {
			_ = json.NewEncoder(w).Encode(r.Header.Get("Authorization"))
			return
		}
		var ask struct {
			Token string `json:"refresh_token"`
		}
		mu.Lock()
		defer mu.Unlock()
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.Token != good || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"code":"refresh_token_reused","message":"It had been used."}}`))
			return
		}
		count++
		good = "r" + string(rune('0'+count))
		_ = json.NewEncoder(w).Encode(spec.Granted{AccessToken: "a" + good[1:], RefreshToken: good, ExpiresMS: time.Now().Add(time.Hour).UnixMilli()})
	}))
	t.Cleanup(s.Close)
	return s.URL, func() int { mu.Lock(); defer mu.Unlock(); return count }
}

func credentialOf(t *testing.T) string {
	t.Helper()
	c, err := Find(Flags{})
	if err != nil {
		t.Error(err)
		return ""
	}
	var told string
	if err := c.Do(t.Context(), "GET", "/", nil, &told); err != nil {
		t.Error(err)
	}
	return told
}

func TestASessionIsRenewedOnceByAll(t *testing.T) {
	alone(t)
	endpoint, refreshes := issuer(t)
	old := &spec.Granted{AccessToken: "a0", RefreshToken: "r0", ExpiresMS: time.Now().Add(renewBefore / 2).UnixMilli()}
	if _, err := Save(Context{Endpoints: []string{endpoint}, Key: "key"}); err != nil {
		t.Fatal(err)
	}
	if _, err := SaveSession([]string{endpoint}, old); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if got := credentialOf(t); got != "Bearer a1" {
				t.Errorf("called with %q", got)
			}
		})
	}
	calls.Wait()
	if refreshes() != 1 || SavedSession().RefreshToken != "r1" {
		t.Errorf("%d refreshes, and %+v is kept", refreshes(), SavedSession())
	}
	t.Setenv("LOTABOTS_API_KEY", "said")
	if got := credentialOf(t); got != "Bearer said" {
		t.Errorf("with a key said: %q", got)
	}
	t.Setenv("LOTABOTS_API_KEY", "")
	if _, err := SaveSession(nil, nil); err != nil || SavedSession() != nil {
		t.Fatalf("forgetting: %v", err)
	}
	if got := credentialOf(t); got != "Bearer key" {
		t.Errorf("after a log-out: %q", got)
	}
}

func TestAnEndedSessionIsToldOf(t *testing.T) {
	alone(t)
	endpoint, _ := issuer(t)
	if _, err := SaveSession([]string{endpoint}, &spec.Granted{RefreshToken: "used", ExpiresMS: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := Find(Flags{})
	if err != nil {
		t.Fatal(err)
	}
	var api *APIError
	if err := c.Do(t.Context(), "GET", "/", nil, nil); !errors.As(err, &api) || api.Code != "refresh_token_reused" {
		t.Errorf("got %v", err)
	}
}

func TestASessionOfAnotherClusterDropsTheKey(t *testing.T) {
	alone(t)
	if _, err := Save(Context{Endpoints: []string{"http://a"}, Key: "key"}); err != nil {
		t.Fatal(err)
	}
	path, err := SaveSession([]string{"http://b"}, &spec.Granted{AccessToken: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := readContext(path); err != nil || c.Key != "" || c.Endpoints[0] != "http://b" {
		t.Errorf("kept %+v, %v", c, err)
	}
}
