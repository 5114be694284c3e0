package access

import (
	"strings"
	"testing"
)

func TestParsePermission(t *testing.T) {
	for text, want := range map[string]Permission{
		"infer":                         {"infer", ""},
		"infer on model:llama-*":        {"infer", "model:llama-*"},
		"deployments.* on *":            {"deployments.*", ""},
		"*":                             {"*", ""},
		" keys.read  on  key ":          {"keys.read", "key"},
		"deployments.write on tenant:x": {"deployments.write", "tenant:x"},
	} {
		if got, err := ParsePermission(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "fly", "infer on", "infer on ", "infer on planet:x", "infer on model:", "infer on model:a b", "infer on :x",
		"Infer", "infer on model:\x00", "infer on model:\xff", "infer on model:" + strings.Repeat("x", maxName+1), strings.Repeat("*", maxName+1)} {
		if got, err := ParsePermission(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

func TestParseResource(t *testing.T) {
	for _, c := range []struct {
		text, tenant string
		want         Resource
	}{
		{"model:llama-3", "t", Resource{KindModel, "llama-3", "t"}}, {"", "t", In("t")}, {"", "", Cluster}, {"cluster", "", Cluster},
		{"tenant:u", "t", In("u")}, {"key:a:b", "", Resource{KindKey, "a:b", ""}},
	} {
		if got, err := ParseResource(c.text, c.tenant); err != nil || got != c.want {
			t.Errorf("%q of %q is %+v, %v", c.text, c.tenant, got, err)
		}
	}
	for _, text := range []string{"model", "model:", "planet:x", "cluster:x", ":x", "model:a b", "model:\n"} {
		if got, err := ParseResource(text, ""); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

func FuzzParsePermission(f *testing.F) {
	for _, s := range []string{"infer on model:llama-*", "*", "keys.* on key", "infer on  on model:x", "infer on tenant:ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePermission(text)
		if err != nil {
			return
		}
		again, err := ParsePermission(p.String())
		if err != nil || again != p {
			t.Errorf("%q is %+v, whose text is %+v, %v", text, p, again, err)
		}
		g := NewGrants(Grant{Permissions: []Permission{p}})
		if missing, ok := g.Covers(g); !ok {
			t.Errorf("%q does not cover itself: %v", text, missing)
		}
	})
}

func FuzzParseResource(f *testing.F) {
	f.Add("model:llama-3", "t")
	f.Add("cluster", "")
	f.Fuzz(func(t *testing.T, text, tenant string) {
		r, err := ParseResource(text, tenant)
		if err != nil || text == "" {
			return
		}
		if r.String() != text {
			t.Errorf("%q is %+v", text, r)
		}
		if r.Kind == KindTenant && r.Tenant != r.Name {
			t.Errorf("%q is owned by %q", text, r.Tenant)
		}
	})
}
