package main

import (
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
