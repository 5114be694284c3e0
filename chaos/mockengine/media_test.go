package mockengine

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func form(fields ...string) string {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		b.WriteString("--B\r\nContent-Disposition: form-data; name=" + fields[i] + "\r\n\r\n" + fields[i+1] + "\r\n")
	}
	return b.String() + "--B--\r\n"
}

func TestMedia(t *testing.T) {
	_, url := serve(t, Config{Tokens: 2})
	const kind = "multipart/form-data; boundary=B"
	file := []string{"model", "w", `file; filename="a"`, "RIFF"}
	for name, c := range map[string]struct{ path, kind, head, body, want string }{
		"transcription": {"/v1/audio/transcriptions", kind, "", form(file...), `{"text":"4 bytes of a","model":"w",`},
		"text":          {"/v1/audio/translations", kind, "", form(append(file, "response_format", "text")...), "4 bytes of a\n"},
		"stream":        {"/v1/audio/transcriptions", kind, "", form(append(file, "stream", "true")...), `"type":"transcript.text.done","text":"4 bytes of a"}`},
		"no file":       {"/v1/audio/transcriptions", kind, "", form("model", "w"), "no file"},
		"speech":        {"/v1/audio/speech", "application/json", "", `{"model":"m","input":"x y"}`, "ID3\x04x y"},
		"image":         {"/v1/images/generations", "application/json", "", `{"model":"m","prompt":"x"}`, `"b64_json":"`},
		"tensors":       {"/v2/models/m/infer", "application/json", "", `{"id":"7","inputs":[{"name":"IN"}]}`, `"outputs":[{"name":"IN"}]`},
		"two parts":     {"/v2/models/m/versions/1/infer", "application/octet-stream", "20", `{"inputs":[{"a":1}]}` + "\x00\x01", "}]}\x00\x01"},
		"too long":      {"/v2/models/m/infer", "application/octet-stream", "99", "{}", `{"error":`},
		"no inputs":     {"/v2/models/m/infer", "application/json", "", "{}", `{"error":`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.kind)
		if c.head != "" {
			r.Header.Set("Inference-Header-Content-Length", c.head)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %q, %v", name, answer.StatusCode, body, err)
		}
	}
}
