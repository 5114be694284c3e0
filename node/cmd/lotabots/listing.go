package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

// filters narrow a listing; an empty value does not.
type filters map[string]string

// listWhere reads all pages of a listing.
func listWhere[T any](c *cobra.Command, api *client.Client, path string, by filters) ([]T, error) {
	out := []T{}
	err := eachPage(c, api, path, by, func(page []T) bool {
		out = append(out, page...)
		return true
	})
	return out, err
}

// eachPage reads a listing page by page, until take has had enough.
func eachPage[T any](c *cobra.Command, api *client.Client, path string, by filters, take func(page []T) bool) error {
	ask := url.Values{"limit": {"500"}}
	for name, value := range by {
		if value != "" {
			ask.Set(name, value)
		}
	}
	for {
		var page list[T]
		if err := api.Do(c.Context(), "GET", path+"?"+ask.Encode(), nil, &page); err != nil {
			return err
		}
		if !take(page.Data) || page.NextCursor == "" {
			return nil
		}
		ask.Set("cursor", page.NextCursor)
	}
}

// moment shows Unix milliseconds to people; 0 is never.
func moment(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return time.UnixMilli(ms).Format(time.DateTime)
}

// ended is how something that gave access came to its end, and where it is not yet.
type ended struct {
	Closing []struct {
		Node     string `json:"node"`
		ClosesMS int64  `json:"closes_ms"`
	} `json:"closing"`
}

// tell says what was done, and which nodes do not know yet.
func (e ended) tell(c *cobra.Command, what string) error {
	fmt.Fprintln(c.OutOrStdout(), what)
	e.warn(c)
	return nil
}

func (e ended) warn(c *cobra.Command) {
	for _, n := range e.Closing {
		fmt.Fprintf(c.ErrOrStderr(), "node %s has not told that it knows; until it does it lets nobody in from %s on, at the latest\n", n.Node, moment(n.ClosesMS))
	}
}
