package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/config"
)

// newConfig reads the configuration of a node that is no member yet.
func newConfig(c *cobra.Command) (config.Config, error) {
	if f := c.Flags().Lookup("id"); f != nil && !f.Changed && os.Getenv("LOTABOTS_NODE_ID") == "" {
		if host, err := os.Hostname(); err == nil {
			host, _, _ = strings.Cut(strings.ToLower(host), ".")
			_ = f.Value.Set(host)
			f.Changed = true
		}
	}
	return config.Load(config.Sources{Env: os.LookupEnv, Flags: c.Flags()})
}

func initCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a new cluster with this node as its first member",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := newConfig(c)
			if err != nil {
				return err
			}
			made, err := node.Init(cfg, version)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), `cluster    %s
node       %s, in %s
admin key  %s
           It is also in %s/context.json, which commands with --data %s read.

Next:      lotabots node run --data %s
`, made.Cluster, cfg.Node.ID, cfg.Node.Data, made.AdminKey, cfg.Node.Data, cfg.Node.Data, cfg.Node.Data)
			return nil
		},
	}
	config.AddFlags(c.Flags())
	return c
}

const joinLimit = 60 * time.Second

// tokenFlag adds --token, and returns how to read it: from the flag, or from
// LOTABOTS_JOIN_TOKEN, which no process list shows.
func tokenFlag(c *cobra.Command) func() (string, error) {
	text := c.Flags().String("token", "", "join token; better given as LOTABOTS_JOIN_TOKEN, which no process list shows")
	return func() (string, error) {
		if *text != "" {
			return *text, nil
		}
		if env := os.Getenv("LOTABOTS_JOIN_TOKEN"); env != "" {
			return env, nil
		}
		return "", fmt.Errorf("no join token: give --token, from lotabots tokens create --role ROLE on a member")
	}
}

func joinCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "join HOST:PORT",
		Short: "Make this node a member of the cluster whose cluster port is at HOST:PORT",
		Args:  cobra.ExactArgs(1),
	}
	token := tokenFlag(c)
	config.AddFlags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := token()
		if err != nil {
			return err
		}
		cfg, err := newConfig(c)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), joinLimit)
		defer cancel()
		if err := node.Join(ctx, cfg, args[0], text, version); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "node %s is a member.\n\nNext:  lotabots node run --data %s\n", cfg.Node.ID, cfg.Node.Data)
		return nil
	}
	return c
}

// gatewayCommand joins, once, and runs a node that is a gateway and nothing else.
func gatewayCommand() *cobra.Command {
	seed, follow := "", 0
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway of its own beside an application: no devices, no vote",
		Long: "Runs a gateway of its own, which follows the cluster's state and routes to its nodes.\n" +
			"At the first start give --join HOST:PORT and a token of the role gateway.",
		Args: cobra.NoArgs,
	}
	token := tokenFlag(c)
	config.AddFlags(c.Flags())
	c.Flags().StringVar(&seed, "join", "", "cluster port of a member, at the first start")
	c.Flags().IntVar(&follow, "follow-pid", 0, "shut down when this process has ended")
	_ = c.Flags().MarkHidden("follow-pid")
	c.RunE = func(c *cobra.Command, _ []string) error {
		roles := c.Flags().Lookup("roles")
		_ = roles.Value.Set("gateway")
		roles.Changed = true
		if _, err := os.Stat(node.ConfigFile(dataFlag(c))); os.IsNotExist(err) {
			if seed == "" {
				return fmt.Errorf("%s belongs to no member yet: give --join HOST:PORT and a token of the role gateway", dataFlag(c))
			}
			text, err := token()
			if err != nil {
				return err
			}
			cfg, err := newConfig(c)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), joinLimit)
			defer cancel()
			if err := node.Join(ctx, cfg, seed, text, version); err != nil {
				return err
			}
		}
		if err := gatewayOnly(dataFlag(c)); err != nil {
			return err
		}
		cfg, err := memberConfig(c)
		if err != nil {
			return err
		}
		return runNode(c.Context(), c, cfg, follow)
	}
	return c
}

// gatewayOnly refuses the directory of a node that is more: run as a gateway, its
// vote and its devices would silently be missing.
func gatewayOnly(dir string) error {
	cfg, err := config.Load(config.Sources{File: node.ConfigFile(dir), Env: os.LookupEnv})
	if err != nil {
		return err
	}
	if !slices.Equal(cfg.Node.Roles, []string{string(spec.RoleGateway)}) {
		return fmt.Errorf("%s belongs to node %s, which is %s: run it with lotabots node run, or give the gateway a directory of its own with --data",
			dir, cfg.Node.ID, strings.Join(cfg.Node.Roles, ", "))
	}
	return nil
}
