//go:build e2e

package session

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// realProvider is the version that is installed from npm.
const realProvider = "oidc-provider@9.13.3"

// A process is a provider that runs as one of its own.
type process struct {
	cmd    *exec.Cmd
	input  io.Closer
	issuer string
}

// installed returns a directory with the provider, which survives the test.
func installed(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.cache/e2e/oidc-provider")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		if out, err := exec.Command("npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", dir, realProvider).CombinedOutput(); err != nil {
			t.Fatalf("installing %s: %v\n%s", realProvider, err, out)
		}
	}
	program, err := os.ReadFile("testdata/provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "provider.mjs"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startProvider(t *testing.T, port, kid string) *process {
	t.Helper()
	dir := installed(t)
	p := &process{cmd: exec.Command("node", "provider.mjs", port, kid)}
	p.cmd.Dir, p.cmd.Stderr = dir, os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.input = in
	t.Cleanup(p.stop)
	var told struct{ Issuer string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &told) != nil {
		t.Fatalf("the provider says %q, %v", line, err)
	}
	p.issuer = told.Issuer
	return p
}

func (p *process) stop() {
	_ = p.input.Close() // it ends when its input does
	_ = p.cmd.Wait()
}

// A browser follows redirects and fills in the provider's forms.
type browser struct {
	t    *testing.T
	http *http.Client
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, http: &http.Client{
		Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

var action = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)

// login goes from the URL that BeginSSO gave to the callback, as that person.
func (b *browser) login(at, person string) url.Values {
	b.t.Helper()
	resp, err := b.http.Get(at)
	for range 12 {
		if err != nil {
			b.t.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		next := resp.Header.Get("Location")
		if strings.HasPrefix(next, callback) {
			u, err := url.Parse(next)
			if err != nil {
				b.t.Fatal(err)
			}
			return u.Query()
		}
		if next != "" {
			resp, err = b.http.Get(must(resp.Request.URL.Parse(next)).String())
			continue
		}
		form := action.FindSubmatch(page)
		if form == nil {
			b.t.Fatalf("HTTP %d without a form or a way on: %.2000s", resp.StatusCode, page)
		}
		answer := url.Values{"prompt": {"consent"}}
		if strings.Contains(string(page), `name="login"`) {
			answer = url.Values{"prompt": {"login"}, "login": {person}, "password": {"any"}}
		}
		resp, err = b.http.PostForm(must(resp.Request.URL.Parse(string(form[1]))).String(), answer)
	}
	b.t.Fatal("the provider leads round in circles")
	return nil
}

func realWorld(t *testing.T, p *process) (*world, *Server) {
	t.Helper()
	w := newWorld(t, "n1")
	w.state.settings[spec.SettingOIDCIssuer], w.state.settings[spec.SettingOIDCClientID] = p.issuer, clientID
	sealed, err := SealToVoters(spec.OIDCClientSecret, []byte(clientSecret), w.state.Nodes())
	if err != nil {
		t.Fatal(err)
	}
	w.state.secrets[spec.OIDCClientSecret] = sealed
	return w, w.server("n1")
}

// returned is what the callback of a log-in at the provider brings.
func returned(t *testing.T, s *Server, person string, ask spec.SSOBegin) spec.SSOFinish {
	t.Helper()
	ask.Callback = callback
	b, err := s.BeginSSO(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	q := newBrowser(t).login(b.URL, person)
	if q.Get("code") == "" {
		t.Fatalf("the callback brings %v", q)
	}
	return spec.SSOFinish{Flow: b.Flow, State: q.Get("state"), Code: q.Get("code")}
}

// TestRealProvider goes the whole way with a certified provider's process.
func TestRealProvider(t *testing.T) {
	p := startProvider(t, "0", "k1")
	w, s := realWorld(t, p)
	f := returned(t, s, "ada", spec.SSOBegin{})
	done, err := s.FinishSSO(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	u, ok := w.state.UserBySubject(p.issuer, "ada")
	if !ok || u.Name != "ada" || u.Email != "ada@example.com" || u.Display != "Ada Lovelace" || !slices.Equal(u.Groups, []string{"dev", "ops"}) || u.Id != done.Granted.User {
		t.Fatalf("the user is %v", u)
	}
	if _, err := checked(w.published(), done.Granted.AccessToken, w.clock()); err != nil {
		t.Error(err)
	}
	refreshed(t, s, done.Granted.RefreshToken)
	_, err = s.FinishSSO(t.Context(), f) // the provider takes a code once
	wantCode(t, err, spec.CodeSSOFailed)

	t.Run("loopback", func(t *testing.T) {
		const verifier = "of the CLI"
		sum := sha256.Sum256([]byte(verifier))
		done, err := s.FinishSSO(t.Context(), returned(t, s, "grace", spec.SSOBegin{Loopback: "http://127.0.0.1:4711/", Challenge: base64.RawURLEncoding.EncodeToString(sum[:])}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Exchange(t.Context(), spec.Exchange{Code: must(url.Parse(done.Redirect)).Query().Get("code"), Verifier: verifier}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("code of another flow", func(t *testing.T) {
		a, b := returned(t, s, "ada", spec.SSOBegin{}), returned(t, s, "grace", spec.SSOBegin{})
		a.Code = b.Code // an attacker's, planted into ada's browser: PKCE does not fit
		_, err := s.FinishSSO(t.Context(), a)
		wantCode(t, err, spec.CodeSSOFailed)
	})
	t.Run("expired", func(t *testing.T) {
		f := returned(t, s, "ada", spec.SSOBegin{})
		w.pass(5 * time.Minute) // identities of this provider last one
		_, err := s.FinishSSO(t.Context(), f)
		wantCode(t, err, spec.CodeSSOFailed)
		if !strings.Contains(err.Error(), "expired") {
			t.Errorf("it failed for another reason: %v", err)
		}
		w.pass(-5 * time.Minute)
	})
	t.Run("wrong secret", func(t *testing.T) {
		sealed, err := SealToVoters(spec.OIDCClientSecret, []byte("wrong"), w.state.Nodes())
		if err != nil {
			t.Fatal(err)
		}
		good := w.state.secrets[spec.OIDCClientSecret]
		w.state.secrets[spec.OIDCClientSecret] = sealed
		_, err = s.FinishSSO(t.Context(), returned(t, s, "ada", spec.SSOBegin{}))
		wantCode(t, err, spec.CodeSSOFailed)
		w.state.secrets[spec.OIDCClientSecret] = good
	})
}

// TestRealIdentityOfAnotherClient: what a true provider signs for another client
// is no identity here.
func TestRealIdentityOfAnotherClient(t *testing.T) {
	p := startProvider(t, "0", "k1")
	w, s := realWorld(t, p)
	sealed, err := SealToVoters(spec.OIDCClientSecret, []byte("another-secret"), w.state.Nodes())
	if err != nil {
		t.Fatal(err)
	}
	w.state.secrets[spec.OIDCClientSecret], w.state.settings[spec.SettingOIDCClientID] = sealed, "grafana"
	f := returned(t, s, "ada", spec.SSOBegin{})
	var in flow
	if err := must(s.keys()).open(w.clock(), purposeFlow, f.Flow, &in); err != nil {
		t.Fatal(err)
	}
	provider, err := s.provider(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config := must(s.oauth(provider, callback))
	ours := *provider
	ours.client = clientID
	_, err = s.exchanged(t.Context(), &ours, config, in, f.Code)
	wantCode(t, err, spec.CodeSSOFailed)
	if !strings.Contains(err.Error(), "audience") {
		t.Errorf("it failed for another reason: %v", err)
	}
}

// TestRealProviderRotatesItsKey: the new one is asked for, and only the provider
// at the issuer's address can tell of it.
func TestRealProviderRotatesItsKey(t *testing.T) {
	p := startProvider(t, "0", "k1")
	_, s := realWorld(t, p)
	if _, err := s.FinishSSO(t.Context(), returned(t, s, "ada", spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
	p.stop()
	again := startProvider(t, must(url.Parse(p.issuer)).Port(), "k2")
	if again.issuer != p.issuer {
		t.Fatalf("the provider is at %s, and was at %s", again.issuer, p.issuer)
	}
	if _, err := s.FinishSSO(t.Context(), returned(t, s, "ada", spec.SSOBegin{})); err != nil {
		t.Fatal(err)
	}
}
