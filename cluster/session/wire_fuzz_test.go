package session

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

type answers struct {
	status int
	body   []byte
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {jsonType}}, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// FuzzOperation: a body is read as what the operation takes, or refused as no JSON; the answer is
// always one that the other side can read.
func FuzzOperation(f *testing.F) {
	f.Add([]byte(`{"name":"n","password":"p"}`))
	f.Add([]byte(`{"name":1}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got *password
		h := serve(func(_ context.Context, p password) (*hashed, error) {
			got = &p
			return nil, spec.Errorf(spec.CodeLoginFailed, "no")
		})
		w := httptest.NewRecorder()
		h(w, httptest.NewRequestWithContext(t.Context(), "POST", "/session/hash", bytes.NewReader(body)))
		want := 400
		if got != nil {
			want = 401
		}
		if w.Code != want || !bytes.Contains(w.Body.Bytes(), []byte(`"code"`)) {
			t.Fatalf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}

// FuzzAnswer: what a voter answers is a result, or an error of the catalogue; never both or neither.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"hash":"h"}`))
	f.Add(401, []byte(`{"code":"login_failed","message":"m"}`))
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := NewClient(ClientConfig{
			Client: func(string) *http.Client { return &http.Client{Transport: answers{status, body}} },
			Voters: func() []spec.NodeID { return []spec.NodeID{"n1", "n2"} },
		})
		out, err := call(t.Context(), c, opHash, password{}, (*Server).hash)
		if (out == nil) == (err == nil) {
			t.Fatalf("%v and %v", out, err)
		}
		if out != nil && status != http.StatusOK {
			t.Fatalf("status %d gives %v", status, out)
		}
	})
}
