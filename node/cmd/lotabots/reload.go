package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/client"
)

// reloadLimit bounds how long a node may take to reload.
const reloadLimit = 30 * time.Second

func nodeReloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload [ID]",
		Short: "Have a node read its configuration again, and say what it took over and what needs a restart",
		Long: "Has a node read its configuration again. With an ID, the node of that name, by the admin API.\n" +
			"Without one, the node that runs in --data on this machine, by its ops socket: no key is needed.",
		Args: cobra.MaximumNArgs(1),
	}
	flags, format := where(c), output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), reloadLimit)
		defer cancel()
		r, err := askReload(ctx, *flags, args)
		if err != nil {
			return err
		}
		return show(c, *format, r, func(w io.Writer) {
			if len(r.Taken)+len(r.Restart) == 0 {
				row(w, "nothing has changed")
				return
			}
			row(w, "KEY", "FROM", "TO", "IN FORCE")
			for _, x := range r.Taken {
				row(w, x.Key, x.From, x.To, "now")
			}
			for _, x := range r.Restart {
				row(w, x.Key, x.From, x.To, "after a restart")
			}
		})
	}
	return c
}

func askReload(ctx context.Context, flags client.Flags, args []string) (node.Reloaded, error) {
	if len(args) == 0 {
		if flags.Data == "" {
			flags.Data = "data" // as node run
		}
		return node.AskReload(ctx, flags.Data)
	}
	var r node.Reloaded
	api, err := client.Find(flags)
	if err != nil {
		return r, err
	}
	return r, api.Do(ctx, "POST", "/admin/v1/nodes/"+args[0]+"/reload", nil, &r)
}
