package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

func whoamiCommand() *cobra.Command {
	c := &cobra.Command{Use: "whoami", Short: "Show who the cluster takes you for, and what you may do", Args: cobra.NoArgs}
	flags, format := where(c), output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var me struct {
			Kind      string `json:"kind"`
			Actor     string `json:"actor"`
			Name      string `json:"name"`
			Tenant    string `json:"tenant"`
			Key       string `json:"key"`
			User      string `json:"user"`
			Session   string `json:"session"`
			ExpiresMS int64  `json:"expires_ms"`
			Grants    []struct {
				Binding     string   `json:"binding"`
				Role        string   `json:"role"`
				Tenant      string   `json:"tenant"`
				Permissions []string `json:"permissions"`
			} `json:"grants"`
		}
		if err := api.Do(c.Context(), "GET", "/auth/v1/whoami", nil, &me); err != nil {
			return err
		}
		return show(c, *format, me, func(w io.Writer) {
			row(w, "name", me.Name)
			row(w, "known as", me.Actor)
			row(w, "by", me.Kind)
			row(w, "tenant", me.Tenant)
			row(w, "until", moment(me.ExpiresMS))
			for _, g := range me.Grants {
				row(w, "may", fmt.Sprintf("%s: %s, %s", g.Role, strings.Join(g.Permissions, ", "), reachOf(g.Tenant)))
			}
		})
	}
	return c
}

// errMayNot ends auth can-i that was answered with no, which it has said.
var errMayNot = errors.New("it may not")

func authCommand() *cobra.Command {
	c := &cobra.Command{Use: "auth", Short: "Ask what is allowed, and why"}
	flags := where(c)
	c.AddCommand(canICommand(flags), verbsCommand(flags))
	return c
}

func canICommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "can-i VERB [KIND:NAME]", Short: "Tell whether you, or --as another, may do something; ends with 3 where not", Args: cobra.RangeArgs(1, 2)}
	tenant, as := c.Flags().String("tenant", "", "whose thing it is; default: yours"), c.Flags().String("as", "", "user:ID or key:ID")
	format := output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		ask := map[string]string{"verb": args[0]}
		if len(args) == 2 {
			ask["resource"] = args[1]
		}
		if *tenant != "" {
			ask["tenant"] = *tenant
		}
		if *as != "" {
			ask["subject"] = *as
		}
		var (
			raw  json.RawMessage
			told struct {
				Allowed bool   `json:"allowed"`
				Text    string `json:"text"`
			}
		)
		if err := api.Do(c.Context(), "POST", "/auth/v1/can-i", ask, &raw); err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &told); err != nil {
			return err
		}
		err = show(c, *format, raw, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s\n", map[bool]string{true: "yes", false: "no"}[told.Allowed], told.Text)
		})
		if err == nil && !told.Allowed {
			err = errMayNot
		}
		return err
	}
	return c
}

func verbsCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "verbs", Short: "List what can be allowed", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var told struct {
			Verbs []struct {
				Verb    string `json:"verb"`
				Text    string `json:"text"`
				Cluster bool   `json:"cluster"`
			} `json:"verbs"`
			Kinds []string `json:"kinds"`
		}
		if err := api.Do(c.Context(), "GET", "/auth/v1/verbs", nil, &told); err != nil {
			return err
		}
		return show(c, *format, told, func(w io.Writer) {
			row(w, "VERB", "GIVEN", "WHAT IT ALLOWS")
			for _, v := range told.Verbs {
				row(w, v.Verb, map[bool]string{true: "in the whole cluster", false: "in a tenant, too"}[v.Cluster], v.Text)
			}
			fmt.Fprintf(w, "\nkinds of things: %s\n", strings.Join(told.Kinds, ", "))
		})
	}
	return c
}
