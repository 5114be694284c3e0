package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// A usedRow is a sum of requests, as the API tells it.
type usedRow struct {
	FromMS     *int64  `json:"from_ms,omitempty"`
	Tenant     *string `json:"tenant,omitempty"`
	User       *string `json:"user,omitempty"`
	Key        *string `json:"key,omitempty"`
	Deployment *string `json:"deployment,omitempty"`
	Version    *uint64 `json:"version,omitempty"`
	Adapter    *string `json:"adapter,omitempty"`
	Endpoint   *string `json:"endpoint,omitempty"`
	Region     *string `json:"region,omitempty"`
	Outcome    *string `json:"outcome,omitempty"`
	Requests   uint64  `json:"requests"`
	Unknown    uint64  `json:"unknown"`
	Prompt     uint64  `json:"prompt_tokens"`
	Cached     uint64  `json:"cached_tokens"`
	Completion uint64  `json:"completion_tokens"`
	GPU        float64 `json:"gpu_seconds"`
	Attempts   uint64  `json:"attempts"`
	Seconds    float64 `json:"seconds"`
}

type usageTold struct {
	FromMS  int64     `json:"from_ms"`
	ToMS    int64     `json:"to_ms"`
	WholeMS int64     `json:"whole_since_ms"`
	Step    string    `json:"step"`
	Data    []usedRow `json:"data"`
	Total   usedRow   `json:"total"`
	Dropped uint64    `json:"dropped"`
}

func usageCommand() *cobra.Command {
	c := &cobra.Command{Use: "usage", Short: "Show what requests have used: tokens, GPU time", Args: cobra.NoArgs}
	flags, f := where(c), c.Flags()
	format := f.StringP("output", "o", "table", "table, json or csv")
	by := f.String("by", "tenant,deployment", "what there is a line for each of, with commas between: tenant, user, key, deployment, version, adapter, endpoint, region, outcome; empty: one line")
	step := f.String("step", "", "and for each minute, hour or day")
	since, until := f.String("since", "24h", "of requests that ended from this time on: RFC 3339, or a duration ago such as 24h"), f.String("until", "", "before this time, in the same forms")
	narrow := map[string]*string{}
	for flag, told := range map[string]string{"tenant": "of this tenant", "user": "of this user's sessions and keys", "key-id": "of this API key", "deployment": "of this deployment",
		"version": "of this version of a deployment", "adapter": "of this adapter", "endpoint": "asked at this path, such as /v1/embeddings", "region": "served in this region", "outcome": "that ended so: ok, refused, failed, gone"} {
		narrow[flag] = f.String(flag, "", told)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		ask := url.Values{}
		for flag, value := range narrow {
			if *value != "" {
				ask.Set(strings.TrimSuffix(flag, "-id"), *value)
			}
		}
		for name, value := range map[string]string{"group_by": *by, "step": *step} {
			if value != "" {
				ask.Set(name, value)
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
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var told usageTold
		if err := api.Do(c.Context(), "GET", "/admin/v1/usage?"+ask.Encode(), nil, &told); err != nil {
			return err
		}
		if *format == "csv" {
			return told.csv(c.OutOrStdout())
		}
		return show(c, *format, told, told.table)
	}
	c.AddCommand(usageRecordsCommand())
	return c
}

// named are the fields that the rows are grouped by, with their names.
func (r *usedRow) named() (names []string, values []string) {
	var version *string
	if r.Version != nil {
		v := strconv.FormatUint(*r.Version, 10)
		version = &v
	}
	for _, f := range []struct {
		name  string
		value *string
	}{{"tenant", r.Tenant}, {"user", r.User}, {"key", r.Key}, {"deployment", r.Deployment}, {"version", version}, {"adapter", r.Adapter}, {"endpoint", r.Endpoint}, {"region", r.Region}, {"outcome", r.Outcome}} {
		if f.value != nil {
			names, values = append(names, f.name), append(values, *f.value)
		}
	}
	return names, values
}

func (t *usageTold) table(w io.Writer) {
	var groups []string
	for i, r := range t.Data {
		names, values := r.named()
		if i == 0 {
			groups = names
			row(w, cells(t.Step != "", "FROM", upper(names), "REQUESTS", "PROMPT", "CACHED", "COMPLETION", "GPU SECONDS", "ATTEMPTS", "UNKNOWN")...)
		}
		row(w, cells(r.FromMS != nil, r.from(), values, r.Requests, r.Prompt, r.Cached, r.Completion, seconds(r.GPU), r.Attempts, r.Unknown)...)
	}
	if len(t.Data) == 0 {
		row(w, "no requests ended between "+moment(t.FromMS)+" and "+moment(t.ToMS))
	}
	if len(t.Data) > 1 {
		rest := make([]string, len(groups))
		first := "total"
		if t.Step == "" && len(rest) > 0 {
			rest[0] = first
		}
		s := t.Total
		row(w, cells(t.Step != "", first, rest, s.Requests, s.Prompt, s.Cached, s.Completion, seconds(s.GPU), s.Attempts, s.Unknown)...)
	}
	if t.WholeMS > t.FromMS {
		row(w, "sums before "+moment(t.WholeMS)+" were dropped for their age")
	}
	if t.Dropped > 0 {
		row(w, fmt.Sprintf("%d requests are missing in all usage: their gateways gave up their records before they could tell", t.Dropped))
	}
}

func (r *usedRow) from() string {
	if r.FromMS == nil {
		return ""
	}
	return moment(*r.FromMS)
}

func seconds(n float64) string { return strconv.FormatFloat(n, 'f', 3, 64) }

func upper(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToUpper(n)
	}
	return out
}

// cells is one line: the time where there are steps, the groups, the numbers.
func cells(steps bool, at string, groups []string, numbers ...any) []any {
	var out []any
	if steps {
		out = append(out, at)
	}
	for _, g := range groups {
		if g == "" {
			g = "-"
		}
		out = append(out, g)
	}
	return append(out, numbers...)
}

// csv writes a line for each row, numbers plain, times as of RFC 3339.
func (t *usageTold) csv(to io.Writer) error {
	w := csv.NewWriter(to)
	for i, r := range t.Data {
		names, values := r.named()
		if t.Step != "" && r.FromMS != nil {
			names, values = append([]string{"from"}, names...), append([]string{time.UnixMilli(*r.FromMS).UTC().Format(time.RFC3339)}, values...)
		}
		if i == 0 {
			if err := w.Write(append(names, "requests", "unknown", "prompt_tokens", "cached_tokens", "completion_tokens", "gpu_seconds", "attempts", "seconds")); err != nil {
				return err
			}
		}
		for _, n := range []uint64{r.Requests, r.Unknown, r.Prompt, r.Cached, r.Completion} {
			values = append(values, strconv.FormatUint(n, 10))
		}
		if err := w.Write(append(values, seconds(r.GPU), strconv.FormatUint(r.Attempts, 10), seconds(r.Seconds))); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
