package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

type auditRow struct {
	Seq     uint64 `json:"seq"`
	AtMS    int64  `json:"at_ms"`
	Actor   string `json:"actor"`
	From    string `json:"from"`
	Action  string `json:"action"`
	Target  string `json:"target"`
	Tenant  string `json:"tenant"`
	Outcome string `json:"outcome"`
	Message string `json:"message"`
	Before  string `json:"before"`
	After   string `json:"after"`
	Count   uint32 `json:"count"`
	Hash    string `json:"hash"`
}

func auditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Read, export and check the audit log"}
	flags := where(c)
	c.AddCommand(auditListCommand(flags), auditExportCommand(flags), auditVerifyCommand(flags))
	return c
}

// auditFilters adds the flags that narrow the log.
func auditFilters(c *cobra.Command) func() (filters, error) {
	f := c.Flags()
	actor, target, tenant := f.String("actor", "", "by key/ID or user/ID"), f.String("target", "", "on this, such as key:ID, user:ID, deployment:NAME"), f.String("tenant", "", "that concerns this tenant")
	action, outcome := f.String("action", "", "of this kind, such as keys.create or keys.*"), f.String("outcome", "", "that ended so: ok, or the code of a refusal")
	since, until := f.String("since", "", "from this time on: RFC 3339, or a duration ago such as 24h"), f.String("until", "", "before this time, in the same forms")
	return func() (filters, error) {
		out := filters{"actor": *actor, "target": *target, "tenant": *tenant, "action": *action, "outcome": *outcome}
		for name, text := range map[string]string{"from": *since, "to": *until} {
			at, err := momentOf(text, time.Now())
			if err != nil {
				return nil, err
			}
			out[name] = at
		}
		return out, nil
	}
}

// momentOf reads a time, or a duration before now, as Unix milliseconds; "" stays.
func momentOf(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		ago, err := time.ParseDuration(text)
		if err != nil {
			return "", fmt.Errorf("%q is neither a time such as 2026-11-25T08:00:00Z nor a duration such as 24h", text)
		}
		at = now.Add(-ago)
	}
	return strconv.FormatInt(at.UnixMilli(), 10), nil
}

func auditListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "Show the newest entries that fit", Args: cobra.NoArgs}
	most := c.Flags().Int("limit", 50, "how many")
	by, format := auditFilters(c), output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *most < 1 {
			return misused(c, "--limit must be at least 1")
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		narrow, err := by()
		if err != nil {
			return err
		}
		narrow["order"] = "newest"
		entries := []auditRow{}
		err = eachPage(c, api, "/admin/v1/audit", narrow, func(page []auditRow) bool {
			entries = append(entries, page...)
			return len(entries) < *most
		})
		if err != nil {
			return err
		}
		entries = entries[:min(len(entries), *most)]
		return show(c, *format, entries, func(w io.Writer) {
			row(w, "NO", "TIME", "WHO", "FROM", "DID", "TO", "TENANT", "OUTCOME")
			for _, e := range entries {
				outcome := e.Outcome
				if e.Count > 1 {
					outcome += fmt.Sprintf(" (%d times)", e.Count)
				}
				row(w, e.Seq, moment(e.AtMS), e.Actor, e.From, e.Action, e.Target, e.Tenant, outcome)
			}
		})
	}
	return c
}

func auditExportCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "export", Short: "Write the entries that fit to standard output, oldest first, one JSON object a line", Args: cobra.NoArgs}
	by := auditFilters(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		narrow, err := by()
		if err != nil {
			return err
		}
		ask := url.Values{}
		for name, value := range narrow {
			if value != "" {
				ask.Set(name, value)
			}
		}
		answer, err := api.SendAs(c.Context(), api.Endpoint(), http.MethodGet, "/admin/v1/audit?"+ask.Encode(), nil, http.Header{"Accept": {"application/x-ndjson"}})
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(c.OutOrStdout(), answer.Body)
		return err
	}
	return c
}

func auditVerifyCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check the chain of the whole log: what was changed or taken out shows", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var told struct {
			Whole   bool   `json:"whole"`
			Entries uint64 `json:"entries"`
			First   uint64 `json:"first_seq"`
			Last    uint64 `json:"last_seq"`
			Hash    string `json:"hash"`
			Broken  string `json:"broken"`
		}
		if err := api.Do(c.Context(), "GET", "/admin/v1/audit/verify", nil, &told); err != nil {
			return err
		}
		err = show(c, *format, told, func(w io.Writer) {
			row(w, "entries", fmt.Sprintf("%d, number %d to %d", told.Entries, told.First, told.Last))
			row(w, "last hash", told.Hash)
			row(w, "chain", map[bool]string{true: "whole", false: "BROKEN: " + told.Broken}[told.Whole])
		})
		if err == nil && !told.Whole {
			err = errors.New("the audit log is not what was written: " + told.Broken)
		}
		return err
	}
	return c
}
