package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// A usageRecord is one request, as the API tells it.
type usageRecord struct {
	Request    string  `json:"request_id"`
	AtMS       int64   `json:"at_ms"`
	Tenant     string  `json:"tenant"`
	User       string  `json:"user"`
	Key        string  `json:"key"`
	Deployment string  `json:"deployment"`
	Version    uint64  `json:"version"`
	Adapter    string  `json:"adapter"`
	Endpoint   string  `json:"endpoint"`
	Region     string  `json:"region"`
	Gateway    string  `json:"gateway,omitempty"`
	Node       string  `json:"node,omitempty"`
	Outcome    string  `json:"outcome"`
	Code       string  `json:"code"`
	Prompt     uint64  `json:"prompt_tokens"`
	Cached     uint64  `json:"cached_tokens"`
	Completion uint64  `json:"completion_tokens"`
	Unknown    bool    `json:"unknown"`
	GPU        float64 `json:"gpu_seconds"`
	Attempts   uint32  `json:"attempts"`
	Seconds    float64 `json:"seconds"`
	FirstByte  float64 `json:"first_byte_seconds"`
}

type recordsTold struct {
	Data       []usageRecord `json:"data"`
	NextCursor string        `json:"next_cursor"`
	Silent     []string      `json:"silent_gateways"`
}

// recordsInPage is how many are asked for at a time.
const recordsInPage = 500

func usageRecordsCommand() *cobra.Command {
	c := &cobra.Command{Use: "records", Short: "Show single requests, the latest first, as long as gateways keep them", Args: cobra.NoArgs}
	flags, f := where(c), c.Flags()
	format := f.StringP("output", "o", "table", "table or json")
	limit := f.Int("limit", 50, "at most so many")
	since, until := f.String("since", "", "that ended from this time on: RFC 3339, or a duration ago such as 1h"), f.String("until", "", "before this time, in the same forms")
	narrow := map[string]*string{}
	for flag, told := range map[string]string{"request": "of this id (X-Request-Id)", "tenant": "of this tenant", "user": "of this user's sessions and keys", "key-id": "of this API key",
		"deployment": "of this deployment", "adapter": "of this adapter", "path": "asked at this path, such as /v1/embeddings", "region": "served in this region", "outcome": "that ended so: ok, refused, failed, gone",
		"code": "that ended by this error code", "gateway": "that came to this gateway"} {
		narrow[flag] = f.String(flag, "", told)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		ask := url.Values{}
		for flag, value := range narrow {
			if *value != "" {
				ask.Set(paramOf(flag), *value)
			}
		}
		for name, text := range map[string]string{"from": *since, "to": *until} {
			at, err := momentOf(text, time.Now())
			if err != nil {
				return err
			}
			if at != "" {
				ask.Set(name, at)
			}
		}
		if *limit < 1 {
			return misused(c, "--limit must be at least 1")
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		told := recordsTold{Data: []usageRecord{}, Silent: []string{}}
		for {
			ask.Set("limit", strconv.Itoa(min(*limit-len(told.Data), recordsInPage)))
			var page recordsTold
			if err := api.Do(c.Context(), "GET", "/admin/v1/usage/records?"+ask.Encode(), nil, &page); err != nil {
				return err
			}
			told.Data, told.NextCursor, told.Silent = append(told.Data, page.Data...), page.NextCursor, append(told.Silent, page.Silent...)
			found := *narrow["request"] != "" && len(told.Data) > 0 // there is one of it
			if page.NextCursor == "" || len(told.Data) >= *limit || found {
				break
			}
			ask.Set("cursor", page.NextCursor)
		}
		return show(c, *format, told, told.table)
	}
	return c
}

// paramOf is what the API calls what the flag says.
func paramOf(flag string) string {
	if flag == "path" {
		return "endpoint"
	}
	return strings.TrimSuffix(flag, "-id")
}

func (t *recordsTold) table(w io.Writer) {
	if len(t.Data) == 0 {
		row(w, "no such request is kept")
	} else {
		row(w, "ENDED", "REQUEST", "TENANT", "KEY", "DEPLOYMENT", "ENDPOINT", "OUTCOME", "CODE", "PROMPT", "CACHED", "COMPLETION", "SECONDS", "FIRST", "ATTEMPTS", "NODE")
	}
	for _, r := range t.Data {
		row(w, moment(r.AtMS), r.Request, dash(r.Tenant), dash(r.Key), dash(r.Deployment), r.Endpoint, r.Outcome, dash(r.Code), r.Prompt, r.Cached, r.Completion,
			seconds(r.Seconds), seconds(r.FirstByte), r.Attempts, dash(r.Node))
	}
	if len(t.Silent) > 0 {
		row(w, fmt.Sprintf("records of these gateways lack, which do not answer: %s", strings.Join(t.Silent, ", ")))
	}
}

// dash stands for what is empty.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
