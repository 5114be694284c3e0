package form

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"
	"testing"
)

const kind = `multipart/form-data; boundary=B`

func lines(s ...string) []byte { return []byte(strings.Join(s, "\r\n")) }

func TestParts(t *testing.T) {
	body := lines("--B", `Content-Disposition: form-data; name="file"; filename="a b.wav"`, "Content-Type: audio/wav", "", "RIFF\r\n-B\r\n\x00", "--B \t",
		`content-disposition:form-data; name=model`, "", "whisper", "--B", `Content-Disposition: form-data; name="empty"`, "", "", "--B--", "after")
	parts, err := Parts(kind, body)
	if err != nil || len(parts) != 3 {
		t.Fatalf("%+v, %v", parts, err)
	}
	for i, want := range []struct {
		name, value string
		file        bool
	}{{"file", "RIFF\r\n-B\r\n\x00", true}, {"model", "whisper", false}, {"empty", "", false}} {
		if p := parts[i]; p.Name != want.name || string(p.Value) != want.value || p.File != want.file || !bytes.HasPrefix(body[p.At:], p.Value) {
			t.Errorf("part %d is %+v, want %+v", i, p, want)
		}
	}
	if &parts[0].Value[0] != &body[parts[0].At] {
		t.Error("the file was copied")
	}
}

func TestWhatIsNoForm(t *testing.T) {
	field := `Content-Disposition: form-data; name="a"`
	for _, contentType := range []string{"", "application/json", "multipart/form-data", "multipart/mixed; boundary=B", `multipart/form-data; boundary="a` + "\n" + `b"`,
		"multipart/form-data; boundary=" + strings.Repeat("b", 71)} {
		if _, err := Parts(contentType, lines("--B", field, "", "x", "--B--")); !errors.Is(err, ErrNoForm) {
			t.Errorf("%q: %v", contentType, err)
		}
	}
	for name, body := range map[string][]byte{
		"empty":                nil,
		"a preamble":           lines("hello", "--B", field, "", "x", "--B--"),
		"no end":               lines("--B", field, "", "x"),
		"cut in the boundary":  lines("--B", field, "", "x", "--B"),
		"a longer boundary":    lines("--B", field, "", "x", "--Bx", "", "", "--B--"),
		"no header":            lines("--B", "", "x", "--B--"),
		"no name":              lines("--B", "Content-Disposition: form-data", "", "x", "--B--"),
		"two names":            lines("--B", field+`; name="b"`, "", "x", "--B--"),
		"two dispositions":     lines("--B", field, field, "", "x", "--B--"),
		"a folded header":      lines("--B", "Content-Disposition: form-data;", ` name="a"`, "", "x", "--B--"),
		"an attachment":        lines("--B", `Content-Disposition: attachment; name="a"`, "", "x", "--B--"),
		"a header of no end":   lines("--B", "X: "+strings.Repeat("y", maxHeader), field, "", "x", "--B--"),
		"no value at all":      lines("--B", field, "", "--B--"),
		"parts without number": []byte(strings.Repeat("--B\r\n"+field+"\r\n\r\nx\r\n", MaxParts+1) + "--B--"),
	} {
		if parts, err := Parts(kind, body); err == nil {
			t.Errorf("%s: %+v", name, parts)
		}
	}
}

func TestWithValue(t *testing.T) {
	body := lines("--B", `Content-Disposition: form-data; name="model"`, "", "a", "--B", `Content-Disposition: form-data; name="file"; filename=x`, "", "DATA", "--B--", "")
	for _, value := range []string{"", "b", "a longer name"} {
		want := bytes.Replace(body, []byte("\r\na\r\n"), []byte("\r\n"+value+"\r\n"), 1)
		if got, err := WithValue(kind, body, "model", value); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
	got, err := WithValue(kind, body, "more", "x")
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := Parts(kind, got); err != nil || len(parts) != 3 || parts[0].Name != "more" || string(parts[0].Value) != "x" {
		t.Errorf("%q: %v", got, err)
	}
	if _, err := WithValue(kind, body, "model", "x\r\n--B--"); err == nil {
		t.Error("a value ended the form")
	}
	if _, err := WithValue("text/plain", body, "model", "x"); !errors.Is(err, ErrNoForm) {
		t.Error(err)
	}
}

// FuzzParts: what is taken for a form is one to Go's own reader, too, and to the same parts.
func FuzzParts(f *testing.F) {
	f.Add(kind, lines("--B", `Content-Disposition: form-data; name="a"`, "", "x", "--B--"))
	f.Add(kind, lines("", "--B \t", `Content-Disposition: form-data; name="a"; filename="\"b"`, "X: y", "", "\r\n--", "--B--", "x"))
	f.Add(`multipart/form-data; boundary="a b"`, lines("--a b", `content-disposition: form-data; name*=utf-8''m`, "", "", "--a b--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		was := bytes.Clone(body)
		parts, err := Parts(contentType, body)
		if !bytes.Equal(body, was) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			return
		}
		boundary, _ := boundaryOf(contentType)
		theirs := multipart.NewReader(bytes.NewReader(body), boundary)
		for i, p := range parts {
			q, err := theirs.NextRawPart()
			if err != nil {
				return // it is stricter about headers that are nobody's business
			}
			value, err := io.ReadAll(q)
			if err != nil || q.FormName() != p.Name || !bytes.Equal(value, p.Value) {
				t.Fatalf("part %d of %q: %q %q, and they say %q %q, %v", i, body, p.Name, p.Value, q.FormName(), value, err)
			}
		}
		if len(parts) > 0 && !strings.Contains("model", "--"+boundary) {
			spliced, err := WithValue(contentType, body, parts[0].Name, "model")
			if err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			again, err := Parts(contentType, spliced)
			if err != nil || len(again) != len(parts) || string(again[0].Value) != "model" {
				t.Fatalf("%q became %q: %v", body, spliced, err)
			}
		}
	})
}
