package engine

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestRequestIDsForAnyProgram(t *testing.T) {
	const uuid = "7C9E6679-7425-40de-944b-e07fc1f90ae7"
	for id, want := range map[string][2]string{
		"req-1": {"9456bdfa-12ea-8695-9c94-a3572f5d91c7", "req-1"}, uuid: {uuid, ""}, "": {"", ""},
	} {
		h := http.Header{}
		anyProgram(id, h.Set)
		if got := h.Get(requestID); got != want[0] || h.Get(ownRequestID) != want[1] {
			t.Errorf("%q: %q and %q", id, got, h.Get(ownRequestID))
		}
	}
}

// What a server closes when it likes is not used twice.
func TestAConnectionOfItsOwn(t *testing.T) {
	from := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from[r.RemoteAddr] = true }))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for fresh, want := range map[bool]int{false: 1, true: 4} {
		clear(from)
		w := newWeb(base, nil)
		w.fresh = fresh
		for range 4 {
			resp, err := w.post(t.Context(), "/v1/x", &Head{}, []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		w.close()
		if len(from) != want {
			t.Errorf("fresh %v: %d connections", fresh, len(from))
		}
	}
}
