package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/storage/backup"
)

func restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE|DIR",
		Short: "Make a new cluster of a backup, with this node as its first member",
		Long: `Makes a new cluster in an empty data directory whose state is that of the backup: keys, tenants, deployments and settings
are as they were. The cluster's id, its gossip key, its authority and this node's identity are new; the old nodes are removed
and join again under new tokens; sessions end; nothing is placed; model files must be imported again.

Without --index and --time it restores the newest state; with one of them that of an earlier point, which lotabots backup ls
shows the range of. Of a directory it takes the backup that reaches to the point.

Give the node's own configuration as for lotabots init. Where it fails, the directory is as empty as before.`,
		Args: cobra.ExactArgs(1),
	}
	keys := keyFlags(c)
	admin := c.Flags().Bool("new-admin-key", false, "make a new admin key and print it, where the old one is lost")
	point := pointFlags(c)
	cluster := c.Flags().String("of-cluster", "", "id of the cluster whose backups are meant, where a directory has those of several")
	config.AddFlags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		at, err := point()
		if err != nil {
			return err
		}
		with, err := keys()
		if err != nil {
			return err
		}
		cfg, err := newConfig(c)
		if err != nil {
			return err
		}
		path, err := chosen(c.ErrOrStderr(), args[0], *cluster, at)
		if err != nil {
			return fmt.Errorf("nothing was restored: %w", err)
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		made, err := node.Restore(cfg, file, at, with, version, *admin, c.ErrOrStderr())
		if err != nil {
			return fmt.Errorf("nothing was restored from %s: %w", path, err)
		}
		if path != args[0] {
			fmt.Fprintf(c.OutOrStdout(), "backup     %s\n", path)
		}
		tellRestored(c.OutOrStdout(), cfg, made)
		return nil
	}
	return c
}

// pointFlags adds the flags that say what to restore, and returns how to read them.
func pointFlags(c *cobra.Command) func() (backup.Point, error) {
	index := c.Flags().Uint64("index", 0, "restore the state as of this index of the log")
	clock := c.Flags().String("time", "", "restore the state as of the last entry at or before this time, as 2026-11-25T12:00:00Z")
	c.MarkFlagsMutuallyExclusive("index", "time")
	return func() (p backup.Point, err error) {
		if p.Index = *index; c.Flags().Changed("index") && p.Index == 0 {
			return p, errors.New("--index: the first entry has index 1")
		}
		if c.Flags().Changed("time") {
			if p.Time, err = time.Parse(time.RFC3339, *clock); err != nil {
				return p, fmt.Errorf("--time: %q is no time: give date, time and zone, as 2026-11-25T12:00:00Z or 2026-11-25T13:00:00+01:00", *clock)
			}
		}
		return p, nil
	}
}

// chosen is the backup to restore from: the file itself, or the one of a directory.
// It names on w what it does not look at.
func chosen(w io.Writer, path, cluster string, at backup.Point) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, err
	}
	if err := tellPassedOver(w, path); err != nil {
		return "", err
	}
	f, err := backup.Choose(path, cluster, at)
	return f.Path, err
}

func tellRestored(w io.Writer, cfg config.Config, r *node.Restored) {
	fmt.Fprintf(w, "cluster    %s, restored from %s as of index %d\nnode       %s, in %s\n", r.Cluster, r.From.Cluster, r.At, cfg.Node.ID, cfg.Node.Data)
	if r.AdminKey != "" {
		fmt.Fprintf(w, "admin key  %s\n           It is also in %s/context.json, which commands with --data %s read.\n", r.AdminKey, cfg.Node.Data, cfg.Node.Data)
	} else {
		fmt.Fprintln(w, "admin key  those of before work; give one as LOTABOTS_API_KEY")
	}
	fmt.Fprintln(w)
	tellUndone(w, r)
	fmt.Fprintf(w, "warning: whatever was written after %s, index %d, is undone and not known here. Keys that were revoked since then work again: revoke them anew.\n",
		r.From.ToTime.Format(time.RFC3339), r.From.Index)
	if !r.From.Current {
		fmt.Fprintln(w, "warning: no leader had confirmed that the backup was of the newest state: earlier writes may be missing too.")
	}
	if gone := slices.DeleteFunc(slices.Clone(r.Removed), func(id string) bool { return id == cfg.Node.ID }); len(gone) > 0 {
		fmt.Fprintf(w, "removed:   %s. Move their data directories away, and join them anew.\n", strings.Join(gone, ", "))
	}
	if len(r.Models) > 0 {
		fmt.Fprintf(w, "models:    their files are not in a backup; import them again: %s.\n", strings.Join(r.Models, ", "))
	}
	fmt.Fprintf(w, "\nNext:      lotabots node run --data %s\n", cfg.Node.Data)
}

// tellUndone says what the backup has beyond the restored point.
func tellUndone(w io.Writer, r *node.Restored) {
	if r.At == r.From.Index {
		return
	}
	fmt.Fprintf(w, "warning: of index %d to %d, %d writes are undone. ", r.At+1, r.From.Index, r.Writes)
	if len(r.Undone) == 0 {
		fmt.Fprintln(w, "No revocation is among them.")
		return
	}
	fmt.Fprintf(w, "Revocations and the like among them: %d. See to each anew:\n", len(r.Undone))
	for _, u := range r.Undone {
		fmt.Fprintf(w, "  %s %s (%s", u.Kind, u.ID, u.Name)
		if u.Tenant != "" {
			fmt.Fprintf(w, ", tenant %s", u.Tenant)
		}
		fmt.Fprintf(w, "): was %s", u.What)
		if !u.Time.IsZero() {
			fmt.Fprintf(w, " %s", u.Time.Format(time.RFC3339))
		}
		fmt.Fprintln(w)
	}
}

func recoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "recover",
		Short: "Make a surviving voter the only one, after most voters were lost for good",
		Long: `Run it on one survivor, whose node must not run, when most voters are lost and cannot come back. The other voters are
removed from the cluster, those that survive too: they, and what only they had, are given up. Spares go on by themselves. Where several survive, look at each with --dry-run
and recover the one with the highest index. See OPERATIONS.md, "Most voters are lost".`,
		Args: cobra.NoArgs,
	}
	config.AddFlags(c.Flags())
	dry := c.Flags().Bool("dry-run", false, "only tell what would be done")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := memberConfig(c)
		if err != nil {
			return err
		}
		r, err := node.Recover(cfg, *dry, c.ErrOrStderr())
		if err != nil {
			return err
		}
		w := c.OutOrStdout()
		fmt.Fprintf(w, "node %s of cluster %s has entries up to index %d, term %d\n", r.Node, r.Cluster, r.Index, r.Term)
		if r.Warning != "" {
			fmt.Fprintf(w, "warning: %s\n", r.Warning)
		}
		if *dry {
			fmt.Fprintf(w, "would be removed: %s\n", strings.Join(r.Removed, ", "))
			return nil
		}
		fmt.Fprintf(w, `removed: %s. They are refused from now on, and may only join again, with an empty data directory.
It is recovery %d of the cluster, which goes on from index %d with this node as its only voter.

Next:  lotabots node run --data %s
       lotabots tokens create --role voter --data %s    and join as many voters as were removed
`, strings.Join(r.Removed, ", "), r.Epoch, r.At, cfg.Node.Data, cfg.Node.Data)
		return nil
	}
	return c
}
