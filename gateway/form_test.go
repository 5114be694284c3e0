package gateway

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func FuzzForm(f *testing.F) {
	for _, s := range []string{`{"name":"k","scopes":["infer"]}`, `{"ttl_seconds":1e2}`, `{"name":null}`, "{", `{"NAME":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var k keyForm
		form, err := decodeForm(body, &k)
		var doc map[string]json.RawMessage
		object := json.Unmarshal(body, &doc) == nil && doc != nil
		if (err == nil) != object || (err != nil && spec.CodeOf(err) != spec.CodeInvalidJSON) {
			t.Fatalf("%q: %v", body, err)
		}
		if err != nil {
			return
		}
		k.check(form)
		for name := range doc {
			switch name {
			case "name", "tenant", "owner", "scopes", "models", "regions", "endpoints", "addresses", "requests_per_minute", "ttl_seconds":
			default:
				if form.err() == nil {
					t.Fatalf("%q is taken, with the unknown field %q", body, name)
				}
			}
		}
	})
}

// FuzzLoopback: what is let through leads to this machine and nowhere else.
func FuzzLoopback(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:80/x", "http://[::1]:1/", "http://127.0.0.1:80@evil.example/", "http://127.0.0.1:1\\@evil.example", "http:\\\\127.0.0.1:1", "http://127.0.0.1:1/\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !loopback(text) {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" && netip.MustParseAddr(u.Hostname()) != netip.IPv6Loopback() || u.User != nil || u.Port() == "" {
			t.Fatalf("%q is let through: %v", text, err)
		}
		if strings.ContainsAny(text, "\\\r\n") {
			t.Fatalf("%q is let through, and browsers read it otherwise", text)
		}
	})
}

func FuzzRole(f *testing.F) {
	f.Add("t1/ops")
	f.Add("owner")
	f.Fuzz(func(t *testing.T, id string) {
		if roleForm(id) && (strings.Count(id, "/") > 1 || strings.HasPrefix(id, "/") || strings.HasSuffix(id, "/") || tenantOfRole(id) == "" && strings.Contains(id, "/") || id == "owner") {
			t.Fatalf("%q is taken for a role's id", id)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("18446744073709551615"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := parseIndex(b); ok {
			var want uint64
			for _, c := range b {
				want = want*10 + uint64(c-'0')
			}
			if n != want || n > 1<<63 {
				t.Fatalf("%q is %d", b, n)
			}
		}
	})
}

func TestNear(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("%q to %q: %d", c.a, c.b, got)
		}
	}
}
