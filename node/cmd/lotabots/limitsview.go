package main

import (
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

// A limitStanding is how much of a limit is left, as the API tells it.
type limitStanding struct {
	Scope     string  `json:"scope"`
	Name      string  `json:"name"`
	Tenant    string  `json:"tenant"`
	Unit      string  `json:"unit"`
	Per       string  `json:"per"`
	Limit     uint64  `json:"limit"`
	Used      *uint64 `json:"used,omitempty"`
	Remaining *uint64 `json:"remaining,omitempty"`
	ResetMS   *int64  `json:"reset_ms,omitempty"`
	Partition string  `json:"on_partition"`
}

type limitsTold struct {
	Data []limitStanding `json:"data"`
}

func limitsCommand() *cobra.Command {
	c := &cobra.Command{Use: "limits", Short: "Show how much is left of limits and budgets", Args: cobra.NoArgs}
	flags, f := where(c), c.Flags()
	format := f.StringP("output", "o", "table", "table or json")
	own := f.Bool("own", false, "of the key in use and its tenant, which any key for inference may see")
	narrow := map[string]*string{}
	for flag, told := range map[string]string{"tenant": "of this tenant, its keys and deployments", "key-id": "of this API key", "deployment": "of this deployment",
		"path": "that requests at this path are counted under, such as /v1/embeddings"} {
		narrow[flag] = f.String(flag, "", told)
		c.MarkFlagsMutuallyExclusive("own", flag)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		ask := url.Values{}
		for flag, value := range narrow {
			if *value != "" {
				ask.Set(paramOf(flag), *value)
			}
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		path := "/admin/v1/limits?" + ask.Encode()
		if *own {
			path = "/v1/limits"
		}
		told := limitsTold{}
		if err := api.Do(c.Context(), "GET", path, nil, &told); err != nil {
			return err
		}
		return show(c, *format, told, told.table)
	}
	return c
}

func (t limitsTold) table(w io.Writer) {
	if len(t.Data) == 0 {
		row(w, "there are no limits")
		return
	}
	row(w, "OF", "NAME", "TENANT", "COUNTS", "PER", "LIMIT", "USED", "LEFT", "WHOLE AGAIN")
	for _, l := range t.Data {
		used, left, again := "?", "?", "the node that keeps it does not answer"
		if l.Used != nil && l.Remaining != nil && l.ResetMS != nil {
			used, left, again = l.amount(*l.Used), l.amount(*l.Remaining), moment(*l.ResetMS)
			if *l.Used == 0 && l.Per == "minute" {
				again = "-"
			}
		}
		row(w, l.Scope, l.Name, dash(l.Tenant), l.Unit, l.Per, l.amount(l.Limit), used, left, again)
	}
}

func (l *limitStanding) amount(n uint64) string {
	if l.Unit == "cost" {
		return spec.FormatMoney(n)
	}
	return strconv.FormatUint(n, 10)
}
