package openai

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func TestWithField(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:           `{"model":"m"}`,
		` { "n" : 1 }`: ` {"model":"m", "n" : 1 }`,
		`{"a":[{"model":"x"}], "model" : null ,"z":1.50}`: `{"a":[{"model":"x"}], "model" : "m" ,"z":1.50}`,
		`{"model":{"a":[1]},"Model":"b"}`:                 `{"model":"m","Model":"m"}`,
	} {
		got, err := WithField([]byte(body), "model", []byte(`"m"`))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", body, got, err, want)
		}
	}
	for _, body := range []string{``, `[]`, `{`, `{"a":1}x`, `{"a"}`, `"x"`} {
		if got, err := WithField([]byte(body), "model", []byte(`"m"`)); err == nil {
			t.Errorf("%q became %q", body, got)
		}
	}
}

// FuzzWithField: what is no object is refused; in others nothing but the field differs.
func FuzzWithField(f *testing.F) {
	f.Add([]byte(`{"model":"a","n":[1,{"model":2}],"s":"\u0000"}`))
	f.Add([]byte(` {"MODEL":1,"x":{}} `))
	f.Add([]byte(`{"a":1}{"b":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		was := bytes.Clone(body)
		got, err := WithField(body, "model", []byte(`"m"`))
		if !bytes.Equal(was, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(body, &before) != nil {
			return // Go's decoder reads tokens that its unmarshaller refuses
		}
		if err := json.Unmarshal(got, &after); err != nil || string(after["model"]) != `"m"` {
			if _, other := before["model"]; other || err != nil {
				t.Fatalf("%q became %q: %v", body, got, err)
			}
		}
		for key, value := range before {
			if !bytes.EqualFold([]byte(key), []byte("model")) && !reflect.DeepEqual(after[key], value) {
				t.Fatalf("%q became %q", body, got)
			}
		}
	})
}
