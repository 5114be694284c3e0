package openai

import (
	"encoding/json"
	"math/big"
	"testing"
)

// asking is a body with that priority.
func asking(priority string) []byte {
	return []byte(`{"model":"m","priority":` + priority + `,"messages":[{"role":"user","content":"x"}]}`)
}

// TestPrioritiesAreReadOrRefused: what an engine may take for a number is read as that number, or does not pass.
func TestPrioritiesAreReadOrRefused(t *testing.T) {
	for text, want := range map[string]int{"-3": -3, "7": 7, "0": 0, "null": 0, "-999999999999": -999999999999} {
		var r Request
		if err := r.Check(Chat, asking(text)); err != nil || len(r.Problems) != 0 || r.Priority != want {
			t.Errorf("%s is read as %d, %v %v", text, r.Priority, err, r.Problems)
		}
	}
	for _, text := range []string{"-3.0", "-3e0", "-30E-1", "-99999999999999999999", "99999999999999999999", "-9e300", `"-3"`, `" -3 "`, `"-3.0"`, `""`, "true", "false", "-2.5", "1e-9", "-1e400", "[-3]", `{"value":-3}`, `0,"priority":-3`, `0,"prior\u0069ty":-3`} {
		var r Request
		if err := r.Check(Chat, asking(text)); err != nil || len(r.Problems) != 1 || r.Problems[0].Param != "priority" || r.Priority > 0 {
			t.Errorf("%s is read as %d, %v %v", text, r.Priority, err, r.Problems)
		}
	}
	for text, fine := range map[string]bool{"3": true, "0": true, "-3": false, " -3": false, "-3.0": false, "+3": false, "": false, "1_0": false, "99999999999": false} {
		var r Request
		if err := r.CheckForm(Transcriptions, formType, formOf("model", "m", "@file", "x", "priority", text)); err != nil || (len(r.Problems) == 0) != fine {
			t.Errorf("of a form, %q is read as %d, %v %v", text, r.Priority, err, r.Problems)
		}
	}
}

// FuzzPriority holds what passes to what an engine reads in it.
func FuzzPriority(f *testing.F) {
	for _, s := range []string{"-3", "-3.0", "-3e0", `"-3"`, "true", "null", "-99999999999999999999", `1,"priority":-3`, `1,"extra_body":{"priority":-3}`, "1e400"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r Request
		body := asking(text)
		if err := r.Check(Chat, body); err != nil || len(r.Problems) > 0 {
			return
		}
		var doc map[string]json.RawMessage // of a field that is given twice, the last
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatalf("%q passes: %v", body, err)
		}
		raw := string(doc["priority"])
		if raw == "null" {
			raw = "0"
		}
		if want, ok := new(big.Int).SetString(raw, 10); !ok || want.Cmp(big.NewInt(int64(r.Priority))) != 0 {
			t.Fatalf("%s is read as %d", raw, r.Priority)
		}
	})
}
