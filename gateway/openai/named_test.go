package openai

import "testing"

func TestModelOf(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":[1,{"model":"x"}],"model":"m","b`: "m", `{"model":"\u006d","x":`: "m", `{"model":7}`: "", `{"model":"m`: "", `{"x":[`: "", ``: "", `[]`: "", `{}`: "", `nonsense`: "",
	} {
		if got := string(ModelOf([]byte(body))); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func FuzzModelOf(f *testing.F) {
	f.Add([]byte(`{"a":"b","model":"m"`))
	f.Fuzz(func(_ *testing.T, body []byte) { ModelOf(body) })
}
