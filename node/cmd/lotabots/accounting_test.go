package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

func TestUsageIsPrinted(t *testing.T) {
	name, none, at, version := "chat", "", int64(3_600_000), uint64(7)
	told := usageTold{FromMS: at, WholeMS: at + 1, Dropped: 2, Data: []usedRow{
		{Deployment: &name, Version: &version, Key: &none, Requests: 2, Prompt: 10, Cached: 4, Completion: 7, GPU: 1.5, Attempts: 3},
		{Deployment: &name, Version: &version, Key: &name, Requests: 1, Unknown: 1, Attempts: 1},
	}, Total: usedRow{Requests: 3, Prompt: 10, Cached: 4, Completion: 7, GPU: 1.5, Attempts: 4, Unknown: 1}}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 2, 2, ' ', 0)
	told.table(w)
	_ = w.Flush()
	for _, want := range []string{"KEY    DEPLOYMENT  VERSION  REQUESTS", "-      chat        7        2", "total  -           -        3", "dropped for their age", "2 requests are missing"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	told.Step, told.Data[0].FromMS, told.Data[1].FromMS = "hour", &at, &at
	if err := told.csv(&out); err != nil || !strings.HasPrefix(out.String(), "from,key,deployment,version,requests,unknown,prompt_tokens,cached_tokens,completion_tokens,gpu_seconds,attempts,seconds\n1970-01-01T01:00:00Z,,chat,7,2,0,10,4,7,1.500,3,0.000\n") {
		t.Errorf("as CSV: %v\n%s", err, out.String())
	}
	out.Reset()
	(&usageTold{}).table(&out)
	if !strings.Contains(out.String(), "no requests ended") {
		t.Errorf("without requests: %s", out.String())
	}
}

func TestRecordsArePrinted(t *testing.T) {
	told := recordsTold{Data: []usageRecord{{Request: "req-1", AtMS: 3_600_000, Tenant: "acme", Deployment: "chat", Endpoint: "/v1/chat/completions", Outcome: "refused", Code: "invalid_json", Seconds: 0.25}},
		Silent: []string{"n2"}}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 2, 2, ' ', 0)
	told.table(w)
	_ = w.Flush()
	for _, want := range []string{"ENDED", "req-1", "acme    -    chat", "refused  invalid_json", "0.250", "these gateways lack, which do not answer: n2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	(&recordsTold{}).table(&out)
	if !strings.Contains(out.String(), "no such request is kept") {
		t.Errorf("without requests: %s", out.String())
	}
}

// TestRecordsAreReadPageByPage until there are as many as were asked for, or the one.
func TestRecordsAreReadPageByPage(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		_, _ = io.WriteString(w, `{"data":[{"request_id":"r`+strconv.Itoa(len(asked))+`"}],"next_cursor":"c`+strconv.Itoa(len(asked))+`","silent_gateways":[]}`)
	}))
	defer server.Close()
	for line, want := range map[string][]string{
		"--limit 2":              {"limit=2", "cursor=c1&limit=1"},
		"--request r1":           {"limit=50&request=r1"},
		"--key-id k --limit 1":   {"key=k&limit=1"},
		"--path /v1/x --limit 1": {"endpoint=%2Fv1%2Fx&limit=1"},
	} {
		asked = nil
		out, err := run(t, append(strings.Fields("usage records -o json --key k --endpoint "+server.URL), strings.Fields(line)...)...)
		if err != nil || !slices.Equal(asked, want) || !strings.Contains(out, `"request_id": "r1"`) {
			t.Errorf("%s: asked %q: %v\n%s", line, asked, err, out)
		}
	}
}
