package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		if errors.Is(err, errDiffers) || errors.Is(err, errMayNot) { // and has said so
			os.Exit(exitDiffers)
		}
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "lotabots: "+spec.Explain(err))
		}
		if wrong := (*usageError)(nil); errors.As(err, &wrong) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "lotabots",
		Short:         "One inference endpoint over your own GPU machines",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start something:"},
		&cobra.Group{ID: "use", Title: "Speak to a cluster:"},
		&cobra.Group{ID: "access", Title: "Who may do what:"},
	)
	for _, c := range []*cobra.Command{devCommand(), initCommand(), joinCommand(), nodeCommand(), gatewayCommand(), engineCommand(), chaosCommand(), configCommand(), restoreCommand(), recoverCommand()} {
		c.GroupID = "start"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{statusCommand(), usageCommand(), limitsCommand(), modelsCommand(), deployCommand(), deploymentsCommand(), canaryCommand(), planCommand(), cacheCommand(), explainCommand(), applyCommand(), exportCommand(), tokensCommand(), backupCommand(), contextCommand()} {
		c.GroupID = "use"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{loginCommand(), logoutCommand(), whoamiCommand(), authCommand(), keysCommand(), usersCommand(), rolesCommand(), sessionsCommand(), auditCommand(), ssoCommand()} {
		c.GroupID = "access"
		root.AddCommand(c)
	}
	root.AddCommand(versionCommand(), shimCommand())
	explainUsage(root)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(c *cobra.Command, _ []string) {
		built := ""
		if info, ok := debug.ReadBuildInfo(); ok {
			built = info.GoVersion
		}
		fmt.Fprintf(c.OutOrStdout(), "lotabots %s %s\n", version, built)
	}}
}

// where adds the flags that say which cluster a command speaks to.
func where(c *cobra.Command) *client.Flags {
	f := &client.Flags{}
	c.PersistentFlags().StringVar(&f.Data, "data", "", "directory of a dev cluster, or of a node on this machine")
	c.PersistentFlags().StringVar(&f.Endpoint, "endpoint", "", "URL of a gateway (LOTABOTS_ENDPOINT)")
	c.PersistentFlags().StringVar(&f.Key, "key", "", "API key; better given as LOTABOTS_API_KEY, which no process list shows")
	return f
}
