package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

type keyRow struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	Tenant            string   `json:"tenant"`
	Scopes            []string `json:"scopes"`
	Models            []string `json:"models"`
	RequestsPerMinute uint32   `json:"requests_per_minute"`
	CreatedMS         int64    `json:"created_ms"`
	ExpiresMS         int64    `json:"expires_ms"`
	RevokedMS         int64    `json:"revoked_ms"`
}

func keysCommand() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Create, list and revoke API keys"}
	flags := where(c)
	c.AddCommand(keysCreateCommand(flags), keysListCommand(flags),
		removeCommand(flags, "revoke ID", "Revoke a key everywhere", "/admin/v1/keys/", "revoked"))
	return c
}

func keysCreateCommand(flags *client.Flags) *cobra.Command {
	ask := struct {
		Name              string   `json:"name"`
		Scopes            []string `json:"scopes,omitempty"`
		Models            []string `json:"models,omitempty"`
		RequestsPerMinute uint32   `json:"requests_per_minute,omitempty"`
		TTLSeconds        int64    `json:"ttl_seconds,omitempty"`
	}{}
	var ttl time.Duration
	c := &cobra.Command{Use: "create", Short: "Create a key; its text is shown once", Args: cobra.NoArgs}
	f := c.Flags()
	f.StringVar(&ask.Name, "name", "", "what the key is for")
	f.StringSliceVar(&ask.Scopes, "scopes", []string{"infer"}, "infer, admin, metrics, topology")
	f.StringSliceVar(&ask.Models, "models", nil, "patterns of models it may use, such as llama-*; empty: all")
	f.Uint32Var(&ask.RequestsPerMinute, "rpm", 0, "requests per minute; 0: no limit")
	f.DurationVar(&ttl, "ttl", 0, "how long it is in force; 0: for ever")
	_ = c.MarkFlagRequired("name")
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		ask.TTLSeconds = int64(ttl / time.Second)
		var got struct {
			keyRow
			Key string `json:"key"`
		}
		if err := api.Do(c.Context(), "POST", "/admin/v1/keys", ask, &got); err != nil {
			return err
		}
		return show(c, *format, got, func(w io.Writer) {
			row(w, "id", got.ID)
			row(w, "key", got.Key)
			fmt.Fprintln(w, "The key is shown this once; the cluster keeps only its hash.")
		})
	}
	return c
}

func keysListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the keys", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		keys, err := listAll[keyRow](c, api, "/admin/v1/keys")
		if err != nil {
			return err
		}
		return show(c, *format, keys, func(w io.Writer) {
			row(w, "ID", "NAME", "TENANT", "SCOPES", "MODELS", "RPM", "STATE")
			for _, k := range keys {
				row(w, k.ID, k.Name, k.Tenant, strings.Join(k.Scopes, ","), strings.Join(k.Models, ","), k.RequestsPerMinute, k.state(time.Now()))
			}
		})
	}
	return c
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

func tokensCommand() *cobra.Command {
	c := &cobra.Command{Use: "tokens", Short: "Create the tokens under which nodes join"}
	flags := where(c)
	ask := struct {
		Role       string `json:"role"`
		Uses       uint32 `json:"uses"`
		TTLSeconds int64  `json:"ttl_seconds"`
	}{}
	var ttl time.Duration
	create := &cobra.Command{Use: "create", Short: "Create a join token; its text is shown once", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		ask.TTLSeconds = int64(ttl / time.Second)
		var got struct {
			Token string `json:"token"`
		}
		if err := api.Do(c.Context(), "POST", "/admin/v1/tokens", ask, &got); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), got.Token)
		return nil
	}}
	create.Flags().StringVar(&ask.Role, "role", "worker", "voter, worker or gateway")
	create.Flags().Uint32Var(&ask.Uses, "uses", 1, "how many nodes may join under it")
	create.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it is in force")
	c.AddCommand(create)
	return c
}

func contextCommand() *cobra.Command {
	c := &cobra.Command{Use: "context", Short: "Remember which cluster to speak to"}
	flags := where(c)
	c.AddCommand(&cobra.Command{Use: "set", Short: "Save the endpoint and key given by flags for later commands", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		saved := client.Context{Endpoints: []string{flags.Endpoint}, Key: flags.Key}
		if flags.Data != "" {
			var err error
			if saved, err = client.FromData(flags.Data); err != nil {
				return err
			}
		} else if flags.Endpoint == "" || flags.Key == "" {
			return fmt.Errorf("give --endpoint and --key, or --data")
		}
		path, err := client.Save(saved)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "saved in %s\n", path)
		return nil
	}})
	return c
}
