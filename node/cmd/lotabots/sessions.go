package main

import (
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

type sessionRow struct {
	ID          string `json:"id"`
	User        string `json:"user"`
	Method      string `json:"method"`
	CreatedMS   int64  `json:"created_ms"`
	RefreshedMS int64  `json:"refreshed_ms"`
	ExpiresMS   int64  `json:"expires_ms"`
	From        string `json:"from"`
	Agent       string `json:"agent"`
	RevokedMS   int64  `json:"revoked_ms"`
	Reason      string `json:"reason"`
	Current     bool   `json:"current"`
}

func (s sessionRow) state() string {
	switch {
	case s.RevokedMS != 0:
		return s.Reason
	case s.Current:
		return "in force, this one"
	}
	return "in force"
}

func sessionsCommand() *cobra.Command {
	c := &cobra.Command{Use: "sessions", Short: "List and end sessions"}
	flags := where(c)
	c.AddCommand(sessionsListCommand(flags), sessionsEndCommand(flags))
	return c
}

func sessionsListCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List the sessions that you may see, your own at least", Args: cobra.NoArgs}
	user := c.Flags().String("user", "", "of this user alone, by name or id")
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		by := filters{}
		if *user != "" {
			if by["user"], err = userID(c, api, *user); err != nil {
				return err
			}
		}
		sessions, err := listWhere[sessionRow](c, api, "/admin/v1/sessions", by)
		if err != nil {
			return err
		}
		return show(c, *format, sessions, func(w io.Writer) {
			row(w, "ID", "USER", "BY", "SINCE", "LAST REFRESH", "FROM", "WITH", "STATE")
			for _, s := range sessions {
				row(w, s.ID, s.User, s.Method, moment(s.CreatedMS), moment(s.RefreshedMS), s.From, s.Agent, s.state())
			}
		})
	}
	return c
}

func sessionsEndCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "revoke [ID]", Short: "End a session, or all of a user's, everywhere", Args: cobra.MaximumNArgs(1)}
	user := c.Flags().String("user", "", "end all sessions of this user, by name or id")
	c.RunE = func(c *cobra.Command, args []string) error {
		if (*user == "") == (len(args) == 0) {
			return misused(c, "give the ID of a session, or --user")
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		var path, what string
		if *user == "" {
			path, what = "/admin/v1/sessions/"+url.PathEscape(args[0]), "session "+args[0]+" ended"
		} else {
			id, err := userID(c, api, *user)
			if err != nil {
				return err
			}
			path, what = "/admin/v1/users/"+url.PathEscape(id)+"/sessions", "all sessions of "+*user+" ended"
		}
		var told ended
		if err := api.Do(c.Context(), "DELETE", path, nil, &told); err != nil {
			return err
		}
		return told.tell(c, what)
	}
	return c
}
