package main

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lotabots/lotabots/node/client"
)

type keyRow struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	Tenant            string   `json:"tenant"`
	Owner             string   `json:"owner"`
	Scopes            []string `json:"scopes"`
	Models            []string `json:"models"`
	Regions           []string `json:"regions"`
	Endpoints         []string `json:"endpoints"`
	Addresses         []string `json:"addresses"`
	RequestsPerMinute uint32   `json:"requests_per_minute"`
	CreatedMS         int64    `json:"created_ms"`
	ExpiresMS         int64    `json:"expires_ms"`
	RevokedMS         int64    `json:"revoked_ms"`
	PreviousUntilMS   int64    `json:"previous_until_ms"`
	LastUsedMS        int64    `json:"last_used_ms"`
	limitRow
}

// newKey is a key with its text, which is shown this once.
type newKey struct {
	keyRow
	Key string `json:"key"`
}

func keysCommand() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Create, list, change, rotate and revoke API keys"}
	flags := where(c)
	c.AddCommand(keysCreateCommand(flags), keysListCommand(flags), keysSetCommand(flags), keysRotateCommand(flags), keysRevokeCommand(flags))
	return c
}

// keyAsk is what a key is asked to be.
type keyAsk struct {
	name, tenant, owner                           string
	scopes, models, regions, endpoints, addresses []string
	rpm                                           uint32
	ttl                                           time.Duration
	limits                                        limitRow
}

func (a *keyAsk) flags(f *pflag.FlagSet) {
	f.StringVar(&a.name, "name", "", "what the key is for")
	f.StringVar(&a.owner, "owner", "", "user, by name or id: the key may do no more than the user, and ends with it")
	f.StringSliceVar(&a.scopes, "scopes", []string{"infer"}, "infer, admin, metrics, topology, or verbs such as deployments.read and keys.*")
	f.StringSliceVar(&a.models, "models", nil, "patterns of models it may use, such as llama-*; empty: all")
	f.StringSliceVar(&a.regions, "regions", nil, "regions that its requests may be served in; empty: all")
	f.StringSliceVar(&a.endpoints, "endpoints", nil, "paths it may use, such as /v1/embeddings or /v1/*; empty: all")
	f.StringSliceVar(&a.addresses, "addresses", nil, "address ranges it may come from, such as 10.0.0.0/8; empty: any")
	f.Uint32Var(&a.rpm, "rpm", 0, "requests per minute; 0: no limit")
	a.limits.flags(f)
	f.DurationVar(&a.ttl, "ttl", 0, "how long it is in force from now; 0: for ever")
}

// body has what the command line names.
func (a *keyAsk) body(c *cobra.Command, api *client.Client) (map[string]any, error) {
	out := map[string]any{}
	named := map[string]field{
		"name": {"name", a.name}, "tenant": {"tenant", a.tenant}, "scopes": {"scopes", a.scopes}, "models": {"models", a.models},
		"regions": {"regions", a.regions}, "endpoints": {"endpoints", a.endpoints}, "addresses": {"addresses", a.addresses},
		"rpm": {"requests_per_minute", a.rpm}, "ttl": {"ttl_seconds", int64(a.ttl / time.Second)},
	}
	maps.Copy(named, a.limits.fields())
	for flag, field := range named {
		if c.Flags().Changed(flag) {
			out[field.name] = field.value
		}
	}
	if !c.Flags().Changed("owner") {
		return out, nil
	}
	id, err := userID(c, api, a.owner)
	out["owner"] = id
	return out, err
}

func keysCreateCommand(flags *client.Flags) *cobra.Command {
	var ask keyAsk
	c := &cobra.Command{Use: "create", Short: "Create a key; its text is shown once", Args: cobra.NoArgs}
	ask.flags(c.Flags())
	c.Flags().StringVar(&ask.tenant, "tenant", "", "tenant that it belongs to; default: yours")
	_ = c.MarkFlagRequired("name")
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		body, err := ask.body(c, api)
		if err != nil {
			return err
		}
		var got newKey
		if err := api.Do(c.Context(), "POST", "/admin/v1/keys", body, &got); err != nil {
			return err
		}
		return got.show(c, *format)
	}
	return c
}

func (k newKey) show(c *cobra.Command, format string) error {
	return show(c, format, k, func(w io.Writer) {
		row(w, "id", k.ID)
		row(w, "key", k.Key)
		fmt.Fprintln(w, "The key is shown this once; the cluster keeps only its hash.")
		if k.PreviousUntilMS != 0 {
			fmt.Fprintf(w, "The old text is good until %s.\n", moment(k.PreviousUntilMS))
		}
	})
}

func keysListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the keys that you may see", Args: cobra.NoArgs}
	tenant, owner := c.Flags().String("tenant", "", "of this tenant alone"), c.Flags().String("owner", "", "of this user alone, by name or id")
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		by := filters{"tenant": *tenant}
		if *owner != "" {
			if by["owner"], err = userID(c, api, *owner); err != nil {
				return err
			}
		}
		keys, err := listWhere[keyRow](c, api, "/admin/v1/keys", by)
		if err != nil {
			return err
		}
		return show(c, *format, keys, func(w io.Writer) {
			row(w, "ID", "NAME", "TENANT", "OWNER", "SCOPES", "MODELS", "RPM", "TPM", "LAST USED", "STATE")
			for _, k := range keys {
				row(w, k.ID, k.Name, k.Tenant, k.Owner, strings.Join(k.Scopes, ","), strings.Join(k.Models, ","), k.RequestsPerMinute, k.TokensPerMinute, moment(k.LastUsedMS), k.state(time.Now()))
			}
		})
	}
	return c
}

func keysSetCommand(flags *client.Flags) *cobra.Command {
	var ask keyAsk
	c := &cobra.Command{Use: "set ID", Short: "Change what a key may do; its text stays", Args: cobra.ExactArgs(1)}
	ask.flags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		body, err := ask.body(c, api)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return misused(c, "nothing is to change: give a flag")
		}
		var told ended
		if err := api.Do(c.Context(), "PATCH", "/admin/v1/keys/"+url.PathEscape(args[0]), body, &told); err != nil {
			return err
		}
		return told.tell(c, args[0]+" changed")
	}
	return c
}

func keysRotateCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "rotate ID", Short: "Give a key another text; the old one is good for a while more", Args: cobra.ExactArgs(1)}
	overlap := c.Flags().Duration("overlap", 24*time.Hour, "how long the old text stays good; 0: not at all")
	format := output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var got struct {
			newKey
			ended
		}
		ask := map[string]int64{"overlap_seconds": int64(*overlap / time.Second)}
		if err := api.Do(c.Context(), "POST", "/admin/v1/keys/"+url.PathEscape(args[0])+"/rotate", ask, &got); err != nil {
			return err
		}
		got.warn(c)
		return got.show(c, *format)
	}
	return c
}

func keysRevokeCommand(flags *client.Flags) *cobra.Command {
	return &cobra.Command{Use: "revoke ID", Short: "Revoke a key everywhere", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var told ended
		if err := api.Do(c.Context(), "DELETE", "/admin/v1/keys/"+url.PathEscape(args[0]), nil, &told); err != nil {
			return err
		}
		return told.tell(c, args[0]+" revoked")
	}}
}

func (k keyRow) state(now time.Time) string {
	switch {
	case k.RevokedMS != 0:
		return "revoked"
	case k.ExpiresMS != 0 && k.ExpiresMS <= now.UnixMilli():
		return "expired"
	}
	return "in force"
}
