package openai

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// parsedStrictly is what Check makes of strict.
func parsedStrictly(text []byte) bool {
	var p fastjson.Parser
	_, err := p.ParseBytes(text)
	return err == nil && strict(text, isPlain(text))
}

func isPlain(text []byte) bool {
	_, plain := plainText(text)
	return plain
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

// FuzzStrict: of what the parser takes, what is not validated is valid, and what is valid is not validated; whatever
// bytes the text has been found to have.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{"a":[true,false,null,-0.5e+9,"\u00e4\n"]}`, `[nan,01]`, "\"\x1f\"", `"12345678\"1234567\\"`, `falsee`, `[nule]`, "[ {},\n\t1]", `["\u00g0","\"]`, `{"temperature":0.7,"stop":[]}`, `[Inf,-nan,iNf]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var p fastjson.Parser
		if _, err := p.ParseBytes(text); err != nil {
			strict(text, true) // takes anything
			strict(text, false)
			return
		}
		valid := json.Valid(text)
		if valid && fastjson.ValidateBytes(text) != nil {
			t.Errorf("%q is refused", text)
		}
		if got := strict(text, isPlain(text)); got != valid {
			t.Errorf("%q: %v, and its validity is %v", text, got, valid)
		}
		if got := strict(text, false); got != valid {
			t.Errorf("%q: %v where each byte is looked at, and its validity is %v", text, got, valid)
		}
	})
}

// FuzzPlainText holds what words of eight bytes tell against the bytes one by one.
func FuzzPlainText(f *testing.F) {
	for at := range 50 { // in each place of a word, and of a row of four
		for _, c := range []byte{0, 0x1f, 0x7f, 0x80, 0xff} {
			text := []byte(strings.Repeat("~ ", 25))
			text[at] = c
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		isASCII, isPlain := true, true
		for _, c := range text {
			isASCII, isPlain = isASCII && c < utf8.RuneSelf, isPlain && c >= ' '
		}
		if ascii, plain := plainText(text); ascii != isASCII || plain != isPlain {
			t.Errorf("%q: ASCII %v, plain %v", text, ascii, plain)
		}
	})
}
