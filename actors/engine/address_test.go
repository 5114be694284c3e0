package engine

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

func TestRequestsNameTheModelAsTheEngineDoes(t *testing.T) {
	const kind = "multipart/form-data; boundary=B"
	form := "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nours\r\n--B--\r\n"
	for _, c := range []struct{ path, kind, body, name, wantPath, wantBody string }{
		{"/v2/models/ours/infer", "application/json", "{}", "theirs", "/v2/models/theirs/infer", "{}"},
		{"/v2/models/ours", "", "", "theirs", "/v2/models/theirs", ""},
		{"/v2/models/ours/versions/3/infer", "application/octet-stream", "\x00", "theirs", "/v2/models/theirs/versions/3/infer", "\x00"},
		{"/v2/models/ours/infer", "application/json", "{}", "", "/v2/models/ours/infer", "{}"},
		{"/v1/audio/transcriptions", kind, form, "theirs", "/v1/audio/transcriptions", strings.Replace(form, "ours", "theirs", 1)},
		{"/v1/audio/transcriptions", kind, "anything", "", "/v1/audio/transcriptions", "anything"},
	} {
		path, body, err := addressed(c.path, &Head{ContentType: c.kind}, []byte(c.body), c.name)
		if err != nil || path != c.wantPath || string(body) != c.wantBody {
			t.Errorf("%s for %q: %s %q, %v", c.path, c.name, path, body, err)
		}
	}
	if _, _, err := addressed("/v1/audio/transcriptions", &Head{ContentType: kind}, []byte("no form"), "theirs"); spec.CodeOf(err) != spec.CodeInvalidRequest {
		t.Errorf("no form: %v", err)
	}
	if _, _, err := addressed("/v2/models/ours/infer", &Head{Adapter: "fr"}, nil, ""); spec.CodeOf(err) != spec.CodeUnsupported {
		t.Errorf("an adapter: %v", err)
	}
}

// TestKServeReachesExternalEngines: by the method that was asked for, with the length of the head, and
// without touching a body of two parts.
func TestKServeReachesExternalEngines(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Header.Get(spec.HeadLengthHeader)+" "+string(body))
	}))
	defer s.Close()
	e := openExternal(t, s.URL, map[string]string{"model": "theirs"})
	ask := func(path string, body string, head Head) string {
		t.Helper()
		answer, err := e.Do(t.Context(), path, head, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		raw, _ := io.ReadAll(answer.Body)
		return string(raw)
	}
	if got := ask("/v2/models/ours/infer", "{}\x01", Head{ContentType: "application/octet-stream", HeadLength: "2"}); got != "POST /v2/models/theirs/infer 2 {}\x01" {
		t.Errorf("%q", got)
	}
	if got := ask("/v2/models/ours", "", Head{Method: "GET"}); got != "GET /v2/models/theirs  " {
		t.Errorf("%q", got)
	}
	if got := ask("/v1/completions", `{"model":"ours"}`, Head{ContentType: "application/json"}); got != `POST /v1/completions  {"model":"theirs"}` {
		t.Errorf("%q", got)
	}
}
