package gateway_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// TestSingleSignOn goes a browser's way, and that of a program on its machine.
func TestSingleSignOn(t *testing.T) {
	for public, secure := range map[string]bool{"": false, "https://llm.example/": true} {
		r := newRig(t, func(c *gateway.Config) { c.PublicURL = public })
		res, body := r.do("", "GET", "/auth/v1/oidc/login?loopback="+url.QueryEscape("http://127.0.0.1:4321/cb")+"&challenge=abc", "")
		cookie := res.Header.Get("Set-Cookie")
		callback := strings.TrimRight(public, "/")
		if public == "" {
			callback = r.url
		}
		ask := r.doors.last().(spec.SSOBegin)
		if res.StatusCode != 302 || res.Header.Get("Location") != "https://idp.example/authorize?x=1" || ask.Callback != callback+"/auth/v1/oidc/callback" || ask.Challenge != "abc" {
			t.Errorf("%d %s %v, asked %+v", res.StatusCode, body, res.Header, ask)
		}
		for _, want := range []string{"lotabots_sso=sealed-flow", "HttpOnly", "SameSite=Lax", "path=/auth/v1/oidc", "max-age=600"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("the cookie %s lacks %s", cookie, want)
			}
		}
		if strings.Contains(cookie, "secure") != secure {
			t.Errorf("at %q the cookie is %s", public, cookie)
		}
		res, body = r.do("", "GET", "/auth/v1/oidc/callback?state=st&code=cli", "", "Cookie", "lotabots_sso=sealed-flow")
		if finish := r.doors.last().(spec.SSOFinish); finish.Flow != "sealed-flow" || finish.State != "st" || finish.From != "127.0.0.1" {
			t.Errorf("finished with %+v", finish)
		}
		if res.StatusCode != 302 || res.Header.Get("Location") != "http://127.0.0.1:4321/cb?code=once" || !strings.Contains(res.Header.Get("Set-Cookie"), "lotabots_sso=;") {
			t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
		}
		if res, body = r.do("", "POST", "/auth/v1/exchange", `{"code":"once","verifier":"v"}`); res.StatusCode != 200 {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if res, _ := r.do(fieldOf(t, body, "access_token"), "GET", "/auth/v1/whoami", ""); res.StatusCode != 200 {
			t.Errorf("the token: %d", res.StatusCode)
		}
	}
}

func TestSingleSignOnRefuses(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		path, cookie string
		status       int
	}{
		{"login?loopback=" + url.QueryEscape("http://evil.example/cb") + "&challenge=a", "", 400}, {"login?loopback=" + url.QueryEscape("http://127.0.0.1.evil.example:80/cb") + "&challenge=a", "", 400},
		{"login?loopback=" + url.QueryEscape("http://127.0.0.1:1@evil.example:80/") + "&challenge=a", "", 400}, {"login?loopback=" + url.QueryEscape("http://[::1]:99/cb") + "&challenge=a", "", 302},
		{"login?loopback=" + url.QueryEscape("http://127.0.0.1:99/cb"), "", 400}, {"login?challenge=a", "", 400}, {"login", "", 302},
		{"callback?state=s&code=c", "", 401}, {"callback?state=s&code=c", "f", 200}, {"callback?error=access_denied&state=s", "f", 401}, {"callback?code=c", "f", 401},
		{"callback?state=s&code=away", "f", 500},
	} {
		headers := []string{}
		if c.cookie != "" {
			headers = append(headers, "Cookie", "lotabots_sso="+c.cookie)
		}
		if res, body := r.do("", "GET", "/auth/v1/oidc/"+c.path, "", headers...); res.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", c.path, res.StatusCode, body, c.status)
		}
	}
	r.doors.fail = spec.Errorf(spec.CodeSSOUnconfigured, "There is none.")
	if res, body := r.do("", "GET", "/auth/v1/oidc/login", ""); res.StatusCode != 404 || codeOf(t, body) != "single_sign_on_not_configured" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
