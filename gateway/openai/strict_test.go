package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

// parsedStrictly is what Check makes of strict.
func parsedStrictly(text []byte) bool {
	var p fastjson.Parser
	_, err := p.ParseBytes(text)
	return err == nil && strict(text)
}

func TestStrict(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `{"a":[true,false,null,-0,0.5,1e9,-1.25E-3,"x\u00aF\"\\\/\b\f\n\r\t"]}`, ` [ 1 , 2 ] `, `"` + strings.Repeat("long text, ", 9) + `"`, `[[],{},[false]]`, `"ä€"`, `10`} {
		if !parsedStrictly([]byte(text)) {
			t.Errorf("%s has to be validated", text)
		}
	}
	for _, text := range []string{`[01]`, `[-]`, `[1.]`, `[.5]`, `[1e]`, `[1e+]`, `[+1]`, `[nan]`, `[NaN]`, `[inf]`, `[-inf]`, `[1-2]`, `["\x"]`, `["\u00g0"]`, `["\u00"]`, "[\"a\tb\"]",
		"{\"a\x00\":1}", "[\"12345678\x1f\"]", `{"\z":1}`, `[00]`, `[1.5.2]`, `[1e5e5]`} {
		if parsedStrictly([]byte(text)) {
			t.Errorf("%s is taken", text)
		}
	}
}

// FuzzStrict: what is not validated is valid.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{"a":[true,false,null,-0.5e+9,"\u00e4\n"]}`, `[nan,01]`, "\"\x1f\"", `"12345678\"1234567\\"`, `falsee`, `[nule]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if parsedStrictly(text) && (fastjson.ValidateBytes(text) != nil || !json.Valid(text)) {
			t.Errorf("%q is no JSON", text)
		}
	})
}
