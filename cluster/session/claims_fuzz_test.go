package session

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzClaims: whatever a provider claims of somebody, the names that are made of it are short, plain and each once.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"email":"a@b.example","email_verified":true,"name":"A B","groups":["x","y","x"]}`))
	f.Add([]byte(`{"email":7,"email_verified":"true","preferred_username":"\u0000 \ud800/..","groups":"one"}`))
	f.Add([]byte(`{"groups":[1,null,{"a":[]},"` + "\u202e" + `"],"name":["x"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var all map[string]json.RawMessage
		if json.Unmarshal(raw, &all) != nil {
			return
		}
		id := identityOf(&provider{issuer: "https://idp.example", groups: "groups"}, "s", all)
		if len(id.name) > maxUserName || len(id.email) > maxEmail || len(id.display) > maxName || len(id.groups) > maxGroups {
			t.Errorf("too long: %+v", id)
		}
		if !slices.IsSorted(id.groups) || len(slices.Compact(slices.Clone(id.groups))) != len(id.groups) || slices.Contains(id.groups, "") {
			t.Errorf("groups %q", id.groups)
		}
		for _, text := range append([]string{id.name, id.email, id.display}, id.groups...) {
			if !utf8.ValidString(text) {
				t.Errorf("%q is no UTF-8", text)
			}
			for _, r := range text {
				if r < ' ' || r == 0x7f {
					t.Errorf("%q has control characters", text)
				}
			}
		}
	})
}
