package gateway

import (
	"encoding/json"
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
			case "name", "tenant", "scopes", "models", "requests_per_minute", "ttl_seconds":
			default:
				if form.err() == nil {
					t.Fatalf("%q is taken, with the unknown field %q", body, name)
				}
			}
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
