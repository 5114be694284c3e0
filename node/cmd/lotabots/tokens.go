package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

func tokensCommand() *cobra.Command {
	c := &cobra.Command{Use: "tokens", Short: "Create, list and revoke the tokens under which nodes join"}
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
	c.AddCommand(create, tokensListCommand(flags), removeCommand(flags, "revoke ID", "End a token; nodes that have joined under it stay", "/admin/v1/tokens/", "revoked"))
	return c
}

type tokenRow struct {
	ID        string `json:"id"`
	Role      string `json:"role"`
	UsesLeft  uint32 `json:"uses_left"`
	CreatedMS int64  `json:"created_ms"`
	ExpiresMS int64  `json:"expires_ms"`
	RevokedMS int64  `json:"revoked_ms"`
}

func tokensListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the tokens, without their texts", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		tokens, err := listWhere[tokenRow](c, api, "/admin/v1/tokens", nil)
		if err != nil {
			return err
		}
		return show(c, *format, tokens, func(w io.Writer) {
			row(w, "ID", "ROLE", "USES LEFT", "CREATED", "EXPIRES", "REVOKED")
			for _, t := range tokens {
				row(w, t.ID, t.Role, t.UsesLeft, moment(t.CreatedMS), moment(t.ExpiresMS), moment(t.RevokedMS))
			}
		})
	}
	return c
}
