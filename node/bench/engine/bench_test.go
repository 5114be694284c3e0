package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// stub answers with as many tokens as are asked for, one every pause.
func stub(t *testing.T, pause time.Duration) *process {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 5 {
			time.Sleep(pause)
			fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"x\"}]}\n\n")
		}
		fmt.Fprint(w, "data: {\"choices\":[],\"usage\":{\"completion_tokens\":5}}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(web.Close)
	to, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &process{client: &http.Client{Transport: redirect{to}}}
}

type redirect struct{ to *url.URL }

func (r redirect) RoundTrip(q *http.Request) (*http.Response, error) {
	q.URL.Host = r.to.Host
	return http.DefaultTransport.RoundTrip(q)
}

func TestRatiosAreOursToTheirs(t *testing.T) {
	figures, err := compare(t.Context(), stub(t, time.Millisecond), stub(t, 20*time.Millisecond), 3, 5)
	if err != nil || len(figures) != 12 {
		t.Fatalf("%v: %v", err, figures)
	}
	for _, f := range figures {
		if strings.HasSuffix(f.name, "_ratio") && f.value < 1.5 && !strings.HasSuffix(f.name, "_cpu_ratio") || f.value < 0 {
			t.Error(f)
		}
	}
}

func TestBrokenStreamsAreTold(t *testing.T) {
	for _, body := range []string{`data: {"error":{"message":"no"}}`, "data: {"} {
		if _, err := read(bufio.NewScanner(strings.NewReader(body)), time.Now()); err == nil {
			t.Errorf("%s was taken", body)
		}
	}
}

func TestTicks(t *testing.T) {
	if got := ticks("12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0"); got != 175 {
		t.Errorf("%g ticks", got)
	}
	if got := ticks("nothing"); got != 0 {
		t.Errorf("%g ticks", got)
	}
}

func TestFigure(t *testing.T) {
	for want, f := range map[string]figure{
		"figure: a 1.500 tokens/s":                {"a", 1.5, "tokens/s", 0},
		"figure: a 0.960 x goal >= 0.95":          {"a", 0.96, "x", goal},
		"figure: a 0.900 x goal >= 0.95 (missed)": {"a", 0.9, "x", goal},
	} {
		if f.String() != want {
			t.Errorf("%q, want %q", f, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("data: {\"choices\":[{\"text\":\"x\"}],\"usage\":{\"completion_tokens\":5}}\n\ndata: [DONE]\n")
	f.Fuzz(func(t *testing.T, body string) {
		if o, err := read(bufio.NewScanner(strings.NewReader(body)), time.Now()); err == nil && o.took != 0 {
			t.Errorf("%+v", o)
		}
	})
}
