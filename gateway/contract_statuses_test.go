package gateway_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/gateway/api"
)

// An answered is what the description has of the answers of an operation: their headers, by status.
type answered map[string][]string

// declared is that, by path and method.
var declared = sync.OnceValue(func() map[string]map[string]answered {
	type response struct {
		Ref     string `json:"$ref"`
		Headers map[string]struct{}
	}
	var doc struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Responses map[string]response }
	}
	if err := json.Unmarshal(api.JSON(), &doc); err != nil {
		panic(err)
	}
	out := map[string]map[string]answered{}
	for path, item := range doc.Paths {
		out[path] = map[string]answered{}
		for method, raw := range item {
			var op struct{ Responses map[string]response }
			if method == "parameters" || json.Unmarshal(raw, &op) != nil {
				continue
			}
			all := answered{}
			for status, r := range op.Responses {
				if r.Ref != "" {
					r = doc.Components.Responses[r.Ref[strings.LastIndexByte(r.Ref, '/')+1:]]
				}
				all[status] = []string{}
				for name := range r.Headers {
					all[status] = append(all[status], http.CanonicalHeaderKey(name))
				}
			}
			out[path][strings.ToUpper(method)] = all
		}
	}
	return out
})

// templates are the described paths that have a parameter; the last one of some takes slashes too.
var templates = sync.OnceValue(func() map[string]*regexp.Regexp {
	out, one := map[string]*regexp.Regexp{}, regexp.MustCompile(`\\\{[a-z]+\\\}`)
	for path := range declared() {
		if !strings.Contains(path, "{") {
			continue
		}
		part := "[^/]+"
		for _, long := range []string{"/v1/models/", "/admin/v1/settings/", "/admin/v1/roles/"} {
			if strings.HasPrefix(path, long) {
				part = ".+"
			}
		}
		out[path] = regexp.MustCompile("^" + one.ReplaceAllString(regexp.QuoteMeta(path), part) + "$")
	}
	return out
})

// hold has every answer that any test of this package gets be of a status that the description has for its
// operation, and with no other headers.
func (r *rig) hold(req *http.Request, res *http.Response) {
	r.t.Helper()
	path := req.URL.Path
	if declared()[path] == nil {
		for described, form := range templates() {
			if form.MatchString(path) {
				path = described
			}
		}
	}
	all := declared()[path][req.Method]
	if all == nil {
		return
	}
	headers, ok := all[strconv.Itoa(res.StatusCode)]
	if !ok && r.partial && res.StatusCode == http.StatusNotFound {
		return
	}
	if !ok {
		r.t.Errorf("%s %s is answered with status %d, which openapi.yaml does not have for it", req.Method, req.URL.Path, res.StatusCode)
		return
	}
	for name := range res.Header {
		coded := name == "Content-Encoding" || strings.HasPrefix(name, "Access-Control-")
		if !coded && !slices.Contains(everywhere, name) && !slices.Contains(headers, name) {
			r.t.Errorf("%s %s: an answer of status %d has the header %s, which openapi.yaml does not have for it", req.Method, req.URL.Path, res.StatusCode, name)
		}
	}
}

// TestPagesMayReadEveryHeader that the description has, but those that browsers keep to themselves.
func TestPagesMayReadEveryHeader(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Origins = []string{"https://page.example"} })
	res, _ := r.do("", "GET", "/healthz", "", "Origin", "https://page.example")
	var may []string
	for name := range strings.SplitSeq(res.Header.Get("Access-Control-Expose-Headers"), ",") {
		may = append(may, http.CanonicalHeaderKey(strings.TrimSpace(name)))
	}
	own := []string{"Set-Cookie", "Location", "Content-Security-Policy", "X-Content-Type-Options"}
	for path, methods := range declared() {
		for method, statuses := range methods {
			for status, headers := range statuses {
				for _, name := range headers {
					if !slices.Contains(may, name) && !slices.Contains(own, name) {
						t.Errorf("%s %s, %s: a page may not read %s", method, path, status, name)
					}
				}
			}
		}
	}
}
