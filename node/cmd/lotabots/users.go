package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

type userRow struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Tenant     string   `json:"tenant"`
	Email      string   `json:"email"`
	Display    string   `json:"display"`
	Service    bool     `json:"service"`
	Password   bool     `json:"has_password"`
	Issuer     string   `json:"issuer"`
	Groups     []string `json:"groups"`
	CreatedMS  int64    `json:"created_ms"`
	DisabledMS int64    `json:"disabled_ms"`
}

func (u userRow) kind() string {
	switch {
	case u.Service:
		return "service"
	case u.Issuer != "":
		return "single sign-on"
	case u.Password:
		return "password"
	}
	return "cannot log in"
}

func (u userRow) state() string {
	if u.DisabledMS != 0 {
		return "disabled"
	}
	return "enabled"
}

func usersCommand() *cobra.Command {
	c := &cobra.Command{Use: "users", Short: "Create, list, change and remove users and service accounts"}
	flags := where(c)
	c.AddCommand(usersCreateCommand(flags), usersListCommand(flags), usersSetCommand(flags), usersPasswdCommand(flags), usersRemoveCommand(flags))
	return c
}

func usersCreateCommand(flags *client.Flags) *cobra.Command {
	ask := struct {
		Name     string  `json:"name"`
		Tenant   *string `json:"tenant,omitempty"`
		Email    string  `json:"email,omitempty"`
		Display  string  `json:"display,omitempty"`
		Service  bool    `json:"service,omitempty"`
		Password string  `json:"password,omitempty"`
	}{}
	var (
		tenant string
		role   string
		piped  bool
	)
	c := &cobra.Command{Use: "create NAME", Short: "Create a user, or a service account that has keys alone", Args: cobra.ExactArgs(1)}
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "", "tenant that the user belongs to; default: yours")
	f.StringVar(&ask.Email, "email", "", "address")
	f.StringVar(&ask.Display, "display", "", "name to show")
	f.BoolVar(&ask.Service, "service", false, "a service account: it owns keys and cannot log in")
	f.BoolVar(&piped, "password-stdin", false, "read the first password from standard input; else none is set")
	f.StringVar(&role, "role", "", "role to give at once, in the user's tenant: owner, admin, operator, developer, viewer, auditor, or one of your own")
	format := output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		ask.Name = args[0]
		if c.Flags().Changed("tenant") {
			ask.Tenant = &tenant
		}
		if piped {
			if ask.Password, err = readPassword(c, bufio.NewReader(c.InOrStdin()), true, ""); err != nil {
				return err
			}
		}
		var made userRow
		if err := api.Do(c.Context(), "POST", "/admin/v1/users", ask, &made); err != nil {
			return err
		}
		if role != "" {
			bind := map[string]string{"subject": "user:" + made.ID, "role": role, "tenant": made.Tenant}
			if err := api.Do(c.Context(), "POST", "/admin/v1/bindings", bind, nil); err != nil {
				return fmt.Errorf("user %s was created with the id %s, and the role %s was not given: %w", made.Name, made.ID, role, err)
			}
		}
		return show(c, *format, made, func(w io.Writer) {
			row(w, "id", made.ID)
			row(w, "name", made.Name)
			row(w, "tenant", made.Tenant)
			if role == "" {
				fmt.Fprintf(w, "It may do nothing yet: give it a role with lotabots roles bind ROLE --user %s\n", made.Name)
			}
		})
	}
	return c
}

func usersListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the users that you may see", Args: cobra.NoArgs}
	tenant := c.Flags().String("tenant", "", "of this tenant alone")
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		users, err := listWhere[userRow](c, api, "/admin/v1/users", filters{"tenant": *tenant})
		if err != nil {
			return err
		}
		return show(c, *format, users, func(w io.Writer) {
			row(w, "ID", "NAME", "TENANT", "LOGS IN BY", "GROUPS", "STATE")
			for _, u := range users {
				row(w, u.ID, u.Name, u.Tenant, u.kind(), strings.Join(u.Groups, ","), u.state())
			}
		})
	}
	return c
}

func usersSetCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "set USER", Short: "Change a user; disabling one ends its sessions and its keys with it", Args: cobra.ExactArgs(1)}
	f := c.Flags()
	email, display, disabled := f.String("email", "", "address"), f.String("display", "", "name to show"), f.Bool("disabled", false, "true: it may do nothing; false: it may again")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		ask := map[string]any{}
		for name, value := range map[string]any{"email": *email, "display": *display, "disabled": *disabled} {
			if c.Flags().Changed(name) {
				ask[name] = value
			}
		}
		if len(ask) == 0 {
			return misused(c, "nothing is to change: give --email, --display or --disabled")
		}
		id, err := userID(c, api, args[0])
		if err != nil {
			return err
		}
		var told ended
		if err := api.Do(c.Context(), "PATCH", "/admin/v1/users/"+url.PathEscape(id), ask, &told); err != nil {
			return err
		}
		return told.tell(c, args[0]+" changed")
	}
	return c
}

func usersPasswdCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "passwd USER", Short: "Set a user's password, which ends the user's sessions", Args: cobra.ExactArgs(1)}
	piped := c.Flags().Bool("password-stdin", false, "read the new password from standard input; for your own, the old one in a line before it")
	own := c.Flags().Bool("own", false, "it is your own: the old password is asked for first")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		id, err := userID(c, api, args[0])
		if err != nil {
			return err
		}
		in, ask := bufio.NewReader(c.InOrStdin()), map[string]string{}
		if *own {
			if ask["current"], err = readPassword(c, in, *piped, "old password: "); err != nil {
				return err
			}
		}
		if ask["password"], err = readPassword(c, in, *piped, "new password: "); err != nil {
			return err
		}
		var told ended
		if err := api.Do(c.Context(), "PUT", "/admin/v1/users/"+url.PathEscape(id)+"/password", ask, &told); err != nil {
			return err
		}
		return told.tell(c, "the password of "+args[0]+" was set, and the sessions were ended")
	}
	return c
}

func usersRemoveCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "rm USER", Short: "Remove a user with its roles and sessions, and revoke its keys", Args: cobra.ExactArgs(1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		id, err := userID(c, api, args[0])
		if err != nil {
			return err
		}
		var told ended
		if err := api.Do(c.Context(), "DELETE", "/admin/v1/users/"+url.PathEscape(id), nil, &told); err != nil {
			return err
		}
		return told.tell(c, args[0]+" removed")
	}
	return c
}

// userID is the id of a user that is named by it or by its name.
func userID(c *cobra.Command, api *client.Client, text string) (string, error) {
	err := api.Do(c.Context(), "GET", "/admin/v1/users/"+url.PathEscape(text), nil, nil)
	var told *client.APIError
	if err == nil {
		return text, nil
	}
	if !errors.As(err, &told) || told.Status != http.StatusNotFound && told.Status != http.StatusForbidden {
		return "", err
	}
	users, err := listWhere[userRow](c, api, "/admin/v1/users", nil)
	if err != nil {
		return "", err
	}
	for _, u := range users {
		if u.Name == text {
			return u.ID, nil
		}
	}
	return "", fmt.Errorf("there is no user %q that you may see; lotabots users ls lists them", text)
}
