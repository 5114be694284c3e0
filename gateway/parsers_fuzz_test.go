package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway/auth"
	"github.com/lotabots/lotabots/gateway/fair"
	"github.com/lotabots/lotabots/gateway/relay"
)

// FuzzSettings: what is taken for a setting's value is one that has a meaning.
func FuzzSettings(f *testing.F) {
	for _, s := range []string{"next=10,other=5", "a=101", "normal..high", "low", `{"/v1/embeddings":{"requests_per_minute":600}}`, "https://x.example/realms", "90m", "5", `{"deployment":"m"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if shares, ok := parseTraffic(value); ok {
			sum := 0
			for _, s := range shares {
				if sum += s.percent; s.percent < 1 || !nameForm.MatchString(s.name) {
					t.Fatalf("%q: %+v", value, shares)
				}
			}
			if sum > 100 || len(shares) == 0 {
				t.Fatalf("%q: %+v", value, shares)
			}
		}
		if r, ok := parseRank(value); ok && (r.usual > r.most || r.most > fair.Critical || r.usual < fair.Low) {
			t.Fatalf("%q: %+v", value, r)
		}
		if of, problem := endpointsOf(value); problem == "" {
			for _, l := range of {
				if auth.CheckEndpoint(l.pattern) != nil {
					t.Fatalf("%q names %q", value, l.pattern)
				}
			}
		}
		for name, k := range known {
			if k.ok(value); k.want == "" {
				t.Fatalf("%s does not say what it wants", name)
			}
		}
		if isIssuer(value) && !strings.HasPrefix(strings.ToLower(value), "http") {
			t.Fatalf("%q is taken for an issuer", value)
		}
		if of, ok := rankedBy(value); ok && of.id == "" {
			t.Fatalf("%q gives a rank to nobody", value)
		}
	})
}

// FuzzWished: whatever a client says of kept answers is understood or refused.
func FuzzWished(f *testing.F) {
	f.Add("refresh", `max-age=60, no-store`)
	f.Add("x", `MAX-AGE="0",,=`)
	f.Fuzz(func(t *testing.T, header, control string) {
		var h fasthttp.RequestHeader
		h.Set(relay.HeaderCache, header)
		h.Set(fasthttp.HeaderCacheControl, control)
		w, err := wished(&h)
		if err != nil && spec.CodeOf(err) != spec.CodeInvalidRequest || w.maxAge < 0 || w.maxAge > 1<<31*time.Second {
			t.Fatalf("%q, %q: %+v, %v", header, control, w, err)
		}
	})
}

// FuzzCounted: nothing of a secret is in what a write's id is made from.
func FuzzCounted(f *testing.F) {
	f.Add([]byte(`{"password":"correct horse","current":"x","name":"y"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var ask struct {
			Password string `json:"password" secret:"yes"`
			Name     string `json:"name"`
		}
		counts := counted(body, &ask)
		var all, left map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil {
			if counts != nil {
				t.Fatalf("%q counts as %q", body, counts)
			}
			return
		}
		if err := json.Unmarshal(counts, &left); err != nil && all != nil || left["password"] != nil {
			t.Fatalf("%q counts as %q, %v", body, counts, err)
		}
	})
}

// FuzzMoment: a time is one that there is, or a problem.
func FuzzMoment(f *testing.F) {
	f.Add("2026-01-31T12:00:00Z")
	f.Add("1767225600000")
	f.Fuzz(func(t *testing.T, text string) {
		form := &form{}
		if at := form.moment("from", text); at < 0 && form.err() == nil {
			t.Fatalf("%q is %d", text, at)
		}
	})
}

// FuzzMalformed: what the server could not read is told of in the words of this API, and in a form that a path has.
func FuzzMalformed(f *testing.F) {
	f.Add(`error when reading request headers: cannot find whitespace in the first line of request "GET". Buffer size=3, contents: "GET /v1/messages?x HTTP/1.1\r\n"`)
	f.Fuzz(func(t *testing.T, text string) {
		if e := malformed(errors.New(text), 1000); e.Code != spec.CodeInvalidRequest && e.Code != spec.CodeBodyTooLarge || e.Message == "" {
			t.Fatalf("%q: %v", text, e)
		}
		path := pathOf(errors.New(text))
		if form, ok := errorsAt([]byte(path)); ok == (form == openaiErrors) || ok && !strings.HasPrefix(path, "/v") {
			t.Fatalf("%q is told of in the form %d", path, form)
		}
	})
}

// FuzzDistance: names are as far from each other as it takes changes to make one the other.
func FuzzDistance(f *testing.F) {
	f.Add("llama-3", "lama3")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = a[:min(len(a), 128)], b[:min(len(b), 128)]
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != bytes.Equal([]byte(a), []byte(b)) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Fatalf("%q to %q: %d", a, b, d)
		}
	})
}
