package engine

import (
	"github.com/lotabots/lotabots/cluster/spec"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestExternalURLs(t *testing.T) {
	p := New(Config{ExternalURLs: []string{"http://10.0.0.9:8000/", "https://Engines.example/team-a", "http://[fd00::1]:9/", "http://v:1/v1"}})
	for _, u := range []string{
		"http://10.0.0.9:8000", "http://10.0.0.9:8000/", "HTTP://10.0.0.9:8000/x/y", "http://10.0.0.9:8000/v1",
		"https://engines.example/team-a", "https://engines.example:443/team-a/", "https://ENGINES.example/team-a/v1", "http://[fd00::1]:9/a",
		"http://v:1/v1", "http://v:1/v1/",
	} {
		if err := p.Check(externalSpec(map[string]string{"url": u})); err != nil {
			t.Errorf("%s is refused: %v", u, err)
		}
	}
	for _, u := range []string{
		// other places
		"http://10.0.0.9:80", "http://10.0.0.9", "https://10.0.0.9:8000", "http://10.0.0.9:80000", "http://10.0.0.90:8000", "http://localhost:8000",
		"https://engines.example", "https://engines.example/team-b", "https://engines.example/team-ab", "https://engines.example.evil/team-a", "http://v:1/x",
		"http://169.254.169.254/latest/meta-data/",
		// other spellings of an allowed one
		"https://engines.example/team-a/../team-b", "https://engines.example/team-a/..", "https://engines.example/team-a/%2e%2e/team-b",
		"https://engines.example/./team-a", "https://engines.example//team-a", "https://engines.example/team-a//b", "https://engines.example/team-a%2fb",
		"https://engines.example./team-a", "https://engines.example/team-a;x", "https://engines.example\\@evil/team-a",
		"https://engines.example/team-a?x", "https://engines.example/team-a#x", "https://engines.example/team-a?", "https://engines.example/team-a#",
		"https://evil@engines.example/team-a", "https://engines.example:443@evil/team-a", "https://engines.example@evil/team-a",
		"http://10.0.0.9:8000@evil/", "http://10.0.0.9:08000", "http://10.0.0.9:", "http://0x0a000009:8000", "http://10.9:8000",
		"http://engines.example\x00/", "https://engines.example\t/team-a", " https://engines.example/team-a", "https://engines.exämple/team-a",
		// no places at all
		"", "x", "//10.0.0.9:8000", "/v1", "file:///etc/passwd", "ftp://10.0.0.9:8000", "http:10.0.0.9:8000", "http://", "http://:8000", "unix:/s", "http:///x",
	} {
		if err := p.Check(externalSpec(map[string]string{"url": u})); err == nil {
			t.Errorf("%q is allowed", u)
		}
	}
	expect(t, New(Config{}).Check(externalSpec(map[string]string{"url": "http://h"})), "engine_unavailable", "engines.external-urls")
	expect(t, New(Config{ExternalURLs: []string{"http://a b"}}).Check(externalSpec(map[string]string{"url": "http://h"})), "engine_unavailable", "http://a b")
	expect(t, p.Check(externalSpec(nil)), "invalid_request", "options.url")
}

// A prefix below /v1 allows no question outside of it either.
func TestReachHoldsForEachRequest(t *testing.T) {
	e, err := New(Config{ExternalURLs: []string{"http://127.0.0.1:1/v1"}}).Open(externalSpec(map[string]string{"url": "http://127.0.0.1:1/v1", "metrics": "vllm"}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, e)
	_, err = e.Load(t.Context())
	expect(t, err, "engine_unavailable", "/metrics")
	for _, path := range []string{"/v1/../admin", "/v1x", "v1", "", "//h/v1", "/v1/a?b", "/v1/%2e%2e", "/v1/a\nb"} {
		if _, err := e.Do(t.Context(), path, Head{}, []byte("{}")); err == nil || strings.Contains(err.Error(), "did not answer") {
			t.Errorf("%q was tried: %v", path, err)
		}
	}
}

// Whatever passes has the prefix's host and stays below its path, as a second reader sees it.
func FuzzReach(f *testing.F) {
	for _, s := range []string{"https://e.example/a/b", "https://e.example/a/../b", "https://e.example:443@x/a", "https://e.example/a%2f..", "https://e.example\\@x/a", "https://E.EXAMPLE/a/", "https://[::1]/a"} {
		f.Add(s, "/v1/chat/completions")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		base, r, err := externalURL(options{"url": text}, Config{ExternalURLs: []string{"https://e.example/a"}})
		if err != nil {
			return
		}
		w := newWeb(base, nil)
		w.reach = r
		q, err := w.request(t.Context(), "GET", path, nil)
		if err != nil {
			return
		}
		again, err := url.Parse(q.URL.String())
		if err != nil {
			t.Fatalf("%q and %q make %q: %v", text, path, q.URL, err)
		}
		segments := strings.Split(strings.TrimSuffix(again.Path, "/"), "/")
		if again.Scheme != "https" || again.Hostname() != "e.example" || again.Port() != "443" || again.User != nil || again.RawQuery != "" ||
			q.Host != again.Host || segments[1] != "a" || slices.ContainsFunc(segments[1:], func(s string) bool { return strings.Trim(s, ".") == "" }) {
			t.Errorf("%q and %q reach %q", text, path, q.URL)
		}
	})
}

func TestCheckDeploymentNeedsNoNode(t *testing.T) {
	for _, c := range []struct {
		name, preset   string
		options        map[string]string
		context, slots uint32
		code           spec.Code // empty: fine
	}{
		{"plain", Embedded, nil, 0, 0, ""},
		{"what this node lacks", Ollama, map[string]string{"threads": "2"}, 4096, 4, ""},
		{"a URL that this node may not call", External, map[string]string{"url": "http://10.1.2.3:8000/v1"}, 0, 0, ""},
		{"an unknown preset", "vlm", nil, 0, 0, spec.CodeEngineUnknown},
		{"an unknown option", Embedded, map[string]string{"args": "--x"}, 0, 0, spec.CodeUnsupported},
		{"a bad value", Embedded, map[string]string{"threads": "1;id"}, 0, 0, spec.CodeInvalidRequest},
		{"too many slots", Embedded, nil, 0, 10_000, spec.CodeInvalidRequest},
		{"no URL", External, nil, 0, 0, spec.CodeInvalidRequest},
		{"no plain URL", External, map[string]string{"url": "file:///etc/passwd"}, 0, 0, spec.CodeInvalidRequest},
	} {
		err := CheckDeployment(c.preset, c.options, c.context, c.slots)
		if (err == nil) != (c.code == "") || err != nil && spec.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

// TestAllowedURLsMayChange: what is opened from then on goes by the new ones.
func TestAllowedURLsMayChange(t *testing.T) {
	p := New(Config{ExternalURLs: []string{"http://127.0.0.1:1"}})
	old := externalSpec(map[string]string{"url": "http://127.0.0.1:1"})
	e, err := p.Open(old)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, e)
	p.AllowExternal([]string{"http://127.0.0.1:2"})
	if _, err := p.Open(old); err == nil {
		t.Error("a URL that is allowed no more is opened")
	}
	if err := p.Check(externalSpec(map[string]string{"url": "http://127.0.0.1:2/v1"})); err != nil {
		t.Errorf("one that is allowed now: %v", err)
	}
	p.AllowExternal(nil)
	expect(t, p.Check(old), "engine_unavailable", "engines.external-urls")
}
