package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// An explanation is a gateway's X-LotaBots-Trace.
type explanation struct {
	Deployment string  `json:"deployment"`
	Version    uint64  `json:"version"`
	Attempts   int     `json:"attempts"`
	QueueMS    float64 `json:"queue_ms"`
	FirstMS    float64 `json:"first_ms"`
	Prompt     int     `json:"prompt"`
	Expected   int     `json:"expected"`
	Cached     *int    `json:"cached"`
	Node       string  `json:"node,omitempty"`
	Device     string  `json:"device,omitempty"`
	Instance   string  `json:"instance,omitempty"`
	Candidates []struct {
		Node     string  `json:"node"`
		Instance string  `json:"instance"`
		Region   string  `json:"region,omitempty"`
		Chosen   bool    `json:"chosen,omitempty"`
		Seconds  float64 `json:"seconds"`
		Cached   int     `json:"cached"`
		Load     int     `json:"load"`
		Slots    int     `json:"slots"`
		Refused  string  `json:"refused,omitempty"`
	} `json:"candidates,omitempty"`
	Others int `json:"others,omitempty"`
}

func explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain MODEL [PROMPT]",
		Short: "Send one small request, and tell where it was served and why there",
		Args:  cobra.RangeArgs(1, 2),
	}
	flags, format := where(c), output(c)
	most := c.Flags().Int("max-tokens", 1, "tokens of the answer")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		prompt := "Say yes."
		if len(args) > 1 {
			prompt = args[1]
		}
		body, err := json.Marshal(map[string]any{"model": args[0], "max_tokens": *most, "messages": []map[string]string{{"role": "user", "content": prompt}}})
		if err != nil {
			return err
		}
		e, err := explain(c, api, body)
		if err != nil {
			return err
		}
		return show(c, *format, e, e.table)
	}
	return c
}

// explain sends the body and reads how it was served.
func explain(c *cobra.Command, api *client.Client, body []byte) (e explanation, err error) {
	header := http.Header{"Content-Type": {"application/json"}, "X-Lotabots-Trace": {"1"}}
	answer, err := api.SendAs(c.Context(), api.Endpoint(), http.MethodPost, "/v1/chat/completions", bytes.NewReader(body), header)
	if err != nil {
		return e, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return e, err
	}
	text := answer.Header.Get("X-Lotabots-Trace")
	if text == "" {
		return e, fmt.Errorf("the gateway at %s does not explain requests: it is of an older version", api.Endpoint())
	}
	return e, json.Unmarshal([]byte(text), &e)
}

func (e explanation) table(w io.Writer) {
	row(w, "deployment", fmt.Sprintf("%s, version %d", e.Deployment, e.Version))
	if e.Instance != "" {
		row(w, "served by", fmt.Sprintf("%s on %s of %s", e.Instance, e.Device, e.Node))
	}
	row(w, "attempts", e.Attempts)
	row(w, "waited", fmt.Sprintf("%g ms for a place, %g ms for the first byte", e.QueueMS, e.FirstMS))
	cached := "not told"
	if e.Cached != nil {
		cached = fmt.Sprintf("%d cached", *e.Cached)
	}
	row(w, "prompt", fmt.Sprintf("%d tokens, %d expected to be cached, %s", e.Prompt, e.Expected, cached))
	if len(e.Candidates) == 0 {
		return
	}
	row(w)
	row(w, "CANDIDATE", "NODE", "SECONDS", "CACHED", "LOAD", "")
	for _, k := range e.Candidates {
		why := k.Refused
		if k.Chosen {
			why = "chosen"
		}
		row(w, k.Instance, strings.Trim(k.Node+" "+k.Region, " "), fmt.Sprintf("%.3f", k.Seconds), k.Cached, fmt.Sprintf("%d/%d", k.Load, k.Slots), why)
	}
	if e.Others > 0 {
		row(w, fmt.Sprintf("and %d more", e.Others))
	}
}
