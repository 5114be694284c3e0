package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

type roleRow struct {
	ID          string   `json:"id"`
	Tenant      string   `json:"tenant"`
	Description string   `json:"description"`
	Permissions []string `json:"permissions"`
	BuiltIn     bool     `json:"built_in"`
}

type bindingRow struct {
	ID        string `json:"id"`
	Subject   string `json:"subject"`
	Role      string `json:"role"`
	Tenant    string `json:"tenant"`
	CreatedMS int64  `json:"created_ms"`
	CreatedBy string `json:"created_by"`
}

func rolesCommand() *cobra.Command {
	c := &cobra.Command{Use: "roles", Short: "See and make roles, and give them to users, groups and keys"}
	flags := where(c)
	c.AddCommand(rolesListCommand(flags), rolesPutCommand(flags),
		removeCommand(flags, "rm ROLE", "Remove a role that nobody has", "/admin/v1/roles/", "removed"),
		rolesBindCommand(flags), rolesBindingsCommand(flags), rolesUnbindCommand(flags))
	return c
}

func rolesListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the roles and what they allow", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		roles, err := listWhere[roleRow](c, api, "/admin/v1/roles", nil)
		if err != nil {
			return err
		}
		return show(c, *format, roles, func(w io.Writer) {
			row(w, "ROLE", "TENANT", "WHAT IT IS", "PERMISSIONS")
			for _, r := range roles {
				row(w, r.ID, r.Tenant, r.Description, strings.Join(r.Permissions, ", "))
			}
		})
	}
	return c
}

func rolesPutCommand(flags *client.Flags) *cobra.Command {
	ask := struct {
		Description string   `json:"description"`
		Permissions []string `json:"permissions"`
	}{}
	c := &cobra.Command{Use: "put ROLE", Short: "Create or change a role; one named TENANT/NAME is the tenant's own", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&ask.Description, "description", "", "what it is for")
	c.Flags().StringArrayVar(&ask.Permissions, "permission", nil, `"VERB" or "VERB on KIND:NAME", such as "infer on model:llama-*"; may be repeated. lotabots auth verbs lists them`)
	_ = c.MarkFlagRequired("permission")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var told ended
		if err := api.Do(c.Context(), "PUT", "/admin/v1/roles/"+escapedPath(args[0]), ask, &told); err != nil {
			return err
		}
		return told.tell(c, "role "+args[0]+" allows "+strings.Join(ask.Permissions, ", "))
	}
	return c
}

// escapedPath keeps the slash of TENANT/NAME.
func escapedPath(s string) string {
	parts := strings.Split(s, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

func rolesBindCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "bind ROLE", Short: "Give a role to a user, a group of the single sign-on, or a key", Args: cobra.ExactArgs(1)}
	f := c.Flags()
	user, group, key := f.String("user", "", "name or id of a user"), f.String("group", "", "group, as the OIDC provider names it"), f.String("key-id", "", "id of a key")
	tenant := f.String("tenant", "", "in this tenant alone; without it, where you are")
	everywhere := f.Bool("everywhere", false, "in the whole cluster")
	c.MarkFlagsOneRequired("user", "group", "key-id")
	c.MarkFlagsMutuallyExclusive("user", "group", "key-id")
	c.MarkFlagsMutuallyExclusive("tenant", "everywhere")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		subject, err := subjectOf(c, api, *user, *group, *key)
		if err != nil {
			return err
		}
		ask := map[string]string{"subject": subject, "role": args[0]}
		if *tenant != "" || *everywhere {
			ask["tenant"] = *tenant
		}
		var made bindingRow
		if err := api.Do(c.Context(), "POST", "/admin/v1/bindings", ask, &made); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s has the role %s %s; lotabots roles unbind %s takes it away\n", made.Subject, made.Role, reachOf(made.Tenant), made.ID)
		return nil
	}
	return c
}

func subjectOf(c *cobra.Command, api *client.Client, user, group, key string) (string, error) {
	switch {
	case group != "":
		return "group:" + group, nil
	case key != "":
		return "key:" + key, nil
	}
	id, err := userID(c, api, user)
	return "user:" + id, err
}

func reachOf(tenant string) string {
	if tenant == "" {
		return "in the whole cluster"
	}
	return "in tenant " + tenant
}

func rolesBindingsCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "bindings", Short: "List who has which role", Args: cobra.NoArgs}
	subject, tenant := c.Flags().String("subject", "", "of user:ID, group:NAME or key:ID alone"), c.Flags().String("tenant", "", "in this tenant alone")
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		bindings, err := listWhere[bindingRow](c, api, "/admin/v1/bindings", filters{"subject": *subject, "tenant": *tenant})
		if err != nil {
			return err
		}
		return show(c, *format, bindings, func(w io.Writer) {
			row(w, "ID", "SUBJECT", "ROLE", "WHERE", "GIVEN BY", "AT")
			for _, b := range bindings {
				row(w, b.ID, b.Subject, b.Role, reachOf(b.Tenant), b.CreatedBy, moment(b.CreatedMS))
			}
		})
	}
	return c
}

func rolesUnbindCommand(flags *client.Flags) *cobra.Command {
	return &cobra.Command{Use: "unbind ID", Short: "Take a role away; ID is that of the binding", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var told ended
		if err := api.Do(c.Context(), "DELETE", "/admin/v1/bindings/"+url.PathEscape(args[0]), nil, &told); err != nil {
			return err
		}
		return told.tell(c, "binding "+args[0]+" removed")
	}}
}
