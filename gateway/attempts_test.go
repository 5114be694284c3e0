package gateway_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/auth"
)

// TestGuessedKeysAreHeldBack, and good ones from the same address are not.
func TestGuessedKeysAreHeldBack(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	guess := func(i int) string { return auth.Format("infxxxx", strings.Repeat("b", 31)+string(rune('a'+i%26))) }
	for i := range 14 {
		want, code := 401, spec.CodeInvalidKey
		if i > 10 {
			want, code = 429, spec.CodeTooManyFailures
		}
		res, body := r.do(guess(i), "GET", "/v1/models", "", "X-Forwarded-For", "192.0.2.9")
		if res.StatusCode != want || codeOf(t, body) != string(code) || (res.Header.Get("Retry-After") != "") != (want == 429) {
			t.Fatalf("attempt %d: %d %s", i, res.StatusCode, body)
		}
	}
	for _, c := range []struct {
		key, from string
		status    int
	}{
		{r.infer, "192.0.2.9", 200},    // good, from there
		{guess(3), "192.0.2.10", 429},  // the same key's id, from elsewhere
		{"lb-what", "192.0.2.10", 401}, // from elsewhere
		{"lb-what", "192.0.2.9", 429},
	} {
		if res, body := r.do(c.key, "GET", "/v1/models", "", "X-Forwarded-For", c.from); res.StatusCode != c.status {
			t.Errorf("%+v: %d %s", c, res.StatusCode, body)
		}
	}
	if _, shown := r.do("", "GET", "/metrics", ""); !strings.Contains(shown, `lotabots_gateway_failed_attempts_total{code="invalid_api_key"} 17`) || !strings.Contains(shown, "lotabots_gateway_held_attempts_total 5") {
		t.Errorf("metrics: %s", grep(shown, "attempts"))
	}
}

func grep(text, part string) (out []string) {
	for l := range strings.Lines(text) {
		if strings.Contains(l, part) {
			out = append(out, l)
		}
	}
	return out
}

// TestGuessedPasswordsAreHeldBack: the right one too, or it could be guessed; and
// only from there.
func TestGuessedPasswordsAreHeldBack(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	session := r.enter("u1")
	login := func(password, from string) int {
		res, _ := r.do("", "POST", "/auth/v1/login", `{"name":"u1-name","password":"`+password+`"}`, "X-Forwarded-For", from)
		return res.StatusCode
	}
	for range 11 {
		login("guess", "192.0.2.9")
	}
	asked := len(r.doors.asked)
	if got := login("correct horse u1", "192.0.2.9"); got != 429 || len(r.doors.asked) != asked {
		t.Errorf("from the guesser's address: %d, asked %v", got, len(r.doors.asked) != asked)
	}
	if got := login("correct horse u1", "192.0.2.77"); got != 200 {
		t.Errorf("from elsewhere: %d", got)
	}
	if res, _ := r.do(session, "GET", "/auth/v1/whoami", "", "X-Forwarded-For", "192.0.2.9"); res.StatusCode != 200 {
		t.Errorf("who is in already: %d", res.StatusCode)
	}
	for i := range 120 {
		login("guess", fmt.Sprint("198.51.100.", i))
	}
	if got := login("correct horse u1", "203.0.113.1"); got != 429 {
		t.Errorf("a name that all the world guesses at: %d", got)
	}
}

// TestGuessedKeysShutNobodyOutOfLoggingIn at the same address.
func TestGuessedKeysShutNobodyOutOfLoggingIn(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.do(fmt.Sprint("lb-guess-", i), "GET", "/v1/models", "")
	}
	if res, body := r.do("", "POST", "/auth/v1/login", `{"name":"u1-name","password":"correct horse u1"}`); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestTheSameBadKeyCountsOnce: a program that has a wrong one does not use up what
// others at its address are free to try.
func TestTheSameBadKeyCountsOnce(t *testing.T) {
	r := newRig(t)
	for i := range 30 {
		if res, body := r.do("lb-typo", "GET", "/v1/models", ""); res.StatusCode != 401 {
			t.Fatalf("attempt %d: %d %s", i, res.StatusCode, body)
		}
	}
	if res, body := r.do("lb-another", "GET", "/v1/models", ""); res.StatusCode != 401 {
		t.Errorf("another: %d %s", res.StatusCode, body)
	}
	if _, shown := r.do("", "GET", "/metrics", ""); !strings.Contains(shown, `lotabots_gateway_failed_attempts_total{code="invalid_api_key"} 31`) {
		t.Errorf("all are told of: %s", grep(shown, "attempts"))
	}
}

// TestAUserIsNotLockedOutByOthers: from where it has logged in it may, whatever the
// world guesses; and its own guesses there are held back all the same.
func TestAUserIsNotLockedOutByOthers(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	login := func(password, from string) int {
		res, _ := r.do("", "POST", "/auth/v1/login", `{"name":"U1-name","password":"`+password+`"}`, "X-Forwarded-For", from)
		return res.StatusCode
	}
	r.state.users["u1"].Name = "U1-name"
	if got := login("correct horse u1", "192.0.2.1"); got != 200 {
		t.Fatal(got)
	}
	for i := range 120 {
		login("guess", fmt.Sprint("198.51.100.", i))
	}
	if got := login("correct horse u1", "192.0.2.1"); got != 200 {
		t.Errorf("from its own address: %d", got)
	}
	if got := login("correct horse u1", "192.0.2.2"); got != 429 {
		t.Errorf("from another: %d", got)
	}
	for range 11 {
		login("guess", "192.0.2.1")
	}
	if got := login("correct horse u1", "192.0.2.1"); got != 429 {
		t.Errorf("from its own address, after guesses there: %d", got)
	}
}

// TestClientAddresses: a header is believed of trusted proxies alone, from the right.
func TestClientAddresses(t *testing.T) {
	for _, c := range []struct {
		proxies, forwarded, want string
	}{
		{"", "192.0.2.1", "127.0.0.1"}, {"10.0.0.0/8", "192.0.2.1", "127.0.0.1"},
		{"127.0.0.0/8", "192.0.2.1", "192.0.2.1"}, {"127.0.0.0/8", "6.6.6.6, 192.0.2.1", "192.0.2.1"},
		{"127.0.0.0/8", "6.6.6.6, 192.0.2.1, 127.0.0.2", "192.0.2.1"}, {"127.0.0.0/8", "junk, 127.0.0.3", "127.0.0.3"},
		{"127.0.0.0/8", "", "127.0.0.1"}, {"127.0.0.0/8", "junk", "127.0.0.1"}, {"127.0.0.0/8", "::ffff:192.0.2.7", "192.0.2.7"}, {"127.0.0.0/8", "2001:db8::1", "2001:db8::1"},
	} {
		r := newRig(t, func(g *gateway.Config) {
			if c.proxies != "" {
				g.Proxies = []netip.Prefix{netip.MustParsePrefix(c.proxies)}
			}
		})
		if res, body := r.do(r.admin, "PUT", "/admin/v1/settings/x", `{"value":"1"}`, "X-Forwarded-For", c.forwarded); res.StatusCode != 200 || r.state.last.From != c.want {
			t.Errorf("%q through %q: %s %s, want %s", c.forwarded, c.proxies, r.state.last.From, body, c.want)
		}
	}
}

// TestKeysAreConfined to addresses, endpoints and regions.
func TestKeysAreConfined(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	r.node("n1", "north", 4, whole)
	r.state.addDeployment("south", "")
	r.state.deployments["south"].Regions = []string{"south", "east"}
	confine := func(name string, change func(*wire.APIKey)) string {
		text := r.state.addKey(name, "t1", 0, "admin")
		change(r.state.keys[name+"xxxx"])
		return text
	}
	home := confine("hom", func(k *wire.APIKey) { k.Addresses = []string{"10.0.0.0/8", "2001:db8::/32"} })
	chat := confine("cha", func(k *wire.APIKey) { k.Endpoints = []string{"/v1/*"} })
	north := confine("nor", func(k *wire.APIKey) { k.Regions = []string{"north"} })
	far := confine("far", func(k *wire.APIKey) { k.Regions = []string{"west", "east"} })
	r.tellState()
	for _, c := range []struct {
		key, method, path, body, from string
		status                        int
		code                          spec.Code
	}{
		{home, "GET", "/v1/models", "", "10.1.2.3", 200, ""}, {home, "GET", "/v1/models", "", "2001:db8::7", 200, ""},
		{home, "GET", "/v1/models", "", "192.0.2.1", 403, spec.CodeAddressForbidden},
		{chat, "GET", "/v1/models", "", "", 200, ""}, {chat, "GET", "/admin/v1/keys", "", "", 403, spec.CodeEndpointForbidden},
		{chat, "DELETE", "/admin/v1/roles/../../../v1/x", "", "", 403, spec.CodeEndpointForbidden}, // as it is routed
		{north, "POST", "/v1/chat/completions", chatBody, "", 200, ""},
		{north, "POST", "/v1/chat/completions", strings.Replace(chatBody, `"m"`, `"south"`, 1), "", 403, spec.CodeModelForbidden},
		{far, "POST", "/v1/chat/completions", chatBody, "", 503, spec.CodeNotReady},
	} {
		var res *http.Response
		var body string
		if strings.Contains(c.path, "..") {
			text, _ := r.raw("DELETE "+c.path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+c.key+"\r\nConnection: close\r\n\r\n", 5*time.Second)
			if !strings.HasPrefix(text, "HTTP/1.1 403 ") || !strings.Contains(text, string(c.code)) {
				t.Errorf("%s: %s", c.path, text)
			}
			continue
		}
		res, body = r.do(c.key, c.method, c.path, c.body, "X-Forwarded-For", c.from)
		if res.StatusCode != c.status || c.code != "" && codeOf(t, body) != string(c.code) {
			t.Errorf("%s %s from %q: %d %s, want %d %s", c.method, c.path, c.from, res.StatusCode, body, c.status, c.code)
		}
	}
	if res, _ := r.do(r.enter("u1"), "POST", "/v1/chat/completions", chatBody); res.StatusCode != 200 || r.engines.last().Key != "session/s1" {
		t.Errorf("a session's request: %d, the serving node is told of %q", res.StatusCode, r.engines.last().Key)
	}
	r.do(north, "POST", "/v1/chat/completions", chatBody)
	if got := r.engines.last().Regions; len(got) != 1 || got[0] != "north" {
		t.Errorf("the serving node is told %v", got)
	}
}
