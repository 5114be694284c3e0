package engine

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestWithModel(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"a"}`: `{"model":"m\"1"}`,
		`{}`:            `{"model":"m\"1"}`,
		` { "n" : 1 } `: ` {"model":"m\"1", "n" : 1 } `,
		`{"n":[{"model":"x"}], "model" : null ,"z":1.50}`: `{"n":[{"model":"x"}], "model" : "m\"1" ,"z":1.50}`,
		`{"model":{"a":[1]},"Model":"b","MODEL":3}`:       `{"model":"m\"1","Model":"m\"1","MODEL":"m\"1"}`,
		`{"\u006dodel":"a","text":"\ud83d\ude00 é"}`:      `{"\u006dodel":"m\"1","text":"\ud83d\ude00 é"}`,
	} {
		got, err := withModel([]byte(body), `m"1`)
		if err != nil || string(got) != want {
			t.Errorf("%s\ngot  %s, %v\nwant %s", body, got, err, want)
		}
	}
	for _, body := range []string{``, `[]`, `"x"`, `{`, `{"a"}`, `{"a":}`, `{"a":1}x`, `{"a":1}{}`, `{"a":1,}`, `null`} {
		if got, err := withModel([]byte(body), "m"); spec.CodeOf(err) != spec.CodeInvalidJSON {
			t.Errorf("%s gives %s, %v", body, got, err)
		}
	}
}

// Only the model differs, and a body stays what it was.
func FuzzWithModel(f *testing.F) {
	f.Add([]byte(`{"model":"a","n":[1,{"model":2}],"s":"\u0000"}`), "name")
	f.Add([]byte(`{ "a" : {} }`), "\xff")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		got, err := withModel(body, name)
		if valid := json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")); (err == nil) != valid {
			t.Fatalf("%q is valid: %t, error: %v", body, valid, err)
		}
		if err != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(body, &before) != nil || json.Unmarshal(got, &after) != nil {
			t.Fatalf("%q became %q", body, got)
		}
		if after["model"] == nil && len(after) != len(before) {
			t.Fatalf("%q became %q", body, got)
		}
		quoted, _ := json.Marshal(name)
		for key, value := range after {
			switch renamed := strings.EqualFold(key, "model"); {
			case renamed && string(value) != string(quoted):
				t.Errorf("%q became %q: %s is %s", body, got, key, value)
			case !renamed && string(value) != string(before[key]):
				t.Errorf("%q became %q: %s changed", body, got, key)
			}
		}
	})
}
