package openai

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

const formType = "multipart/form-data; boundary=B"

// formOf is a form of fields, name and value in turn; a name that begins with @ is a file's.
func formOf(fields ...string) []byte {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		name, file := strings.CutPrefix(fields[i], "@")
		b.WriteString("--B\r\nContent-Disposition: form-data; name=" + strconv.Quote(name))
		if file {
			b.WriteString(`; filename="a.wav"`)
		}
		b.WriteString("\r\n\r\n" + fields[i+1] + "\r\n")
	}
	return []byte(b.String() + "--B--\r\n")
}

func TestCheckForm(t *testing.T) {
	for _, c := range []struct {
		name     string
		fields   []string
		problems []string
		model    string
		stream   bool
	}{
		{"least", []string{"@file", "RIFF", "model", "w"}, nil, "w", false},
		{"more", []string{"model", "w", "language", "de", "stream", "True", "temperature", "0.5", "timestamp_granularities[]", "word", "timestamp_granularities[]", "segment", "@file", "RIFF"}, nil, "w", true},
		{"nothing", nil, []string{"model", "file"}, "", false},
		{"all wrong", []string{"model", "", "file", "text", "stream", "maybe", "temperature", "NaN", "timestamp_granularities[]", "line"}, []string{"file", "stream", "temperature", "timestamp_granularities", "model"}, "", false},
		{"twice", []string{"model", "a", "model", "b", "@file", "x", "@file", ""}, []string{"model", "file", "file"}, "b", false},
	} {
		var r Request
		if err := r.CheckForm(Transcriptions, formType, formOf(c.fields...)); err != nil {
			if c.fields == nil && err.Code == spec.CodeInvalidRequest {
				continue // no part at all is no form
			}
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(params(&r), c.problems) || string(r.Model) != c.model || r.Stream != c.stream || r.Needs != spec.AbleTranscribe {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	var r Request
	if err := r.CheckForm(Translations, "application/json", []byte("{}")); err == nil || err.Code != spec.CodeUnsupportedMedia {
		t.Errorf("JSON: %v", err)
	}
	if err := r.CheckForm(Translations, formType, []byte("{}")); err == nil || err.Code != spec.CodeInvalidRequest {
		t.Errorf("no form: %v", err)
	}
}

func TestCheckTensors(t *testing.T) {
	for head, want := range map[string]int{"": 0, "1": 1, "10": 10, "007": 7, "0": -1, "11": -1, "-1": -1, "+1": -1, "1 ": -1, "x": -1, "99999999999999999999": -1} {
		var r Request
		n, err := r.CheckTensors(KServe, "m", []byte(head), make([]byte, 10))
		if (err != nil) != (want < 0) || err == nil && n != want || string(r.Model) != "m" {
			t.Errorf("%q: %d, %v", head, n, err)
		}
	}
}

func FuzzCheckForm(f *testing.F) {
	f.Add(formType, formOf("model", "m", "@file", "x", "stream", "true", "temperature", "1e400"))
	f.Add("multipart/form-data; boundary=\"a b\"", []byte("--a b--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		var r Request
		was := bytes.Clone(body)
		err := r.CheckForm(Transcriptions, contentType, body)
		if !bytes.Equal(body, was) {
			t.Fatal("the body was changed")
		}
		if err == nil && len(r.Problems) == 0 && len(r.Model) == 0 {
			t.Fatal("no model, and no problem")
		}
	})
}

func FuzzHeadLength(f *testing.F) {
	for _, s := range []string{"", "0", "12", "1e3", "999999999", "9999999999", "-1"} {
		f.Add([]byte(s), 100)
	}
	f.Fuzz(func(t *testing.T, head []byte, size int) {
		var r Request
		body := make([]byte, max(0, min(size, 1<<16)))
		n, err := r.CheckTensors(KServe, "m", head, body)
		if err == nil && (n < 0 || n > len(body) || len(head) > 0 && n == 0) {
			t.Fatalf("%q of %d bytes: %d", head, len(body), n)
		}
	})
}
