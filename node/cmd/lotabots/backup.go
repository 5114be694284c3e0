package main

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
	"github.com/lotabots/lotabots/storage/backup"
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{Use: "backup", Short: "Make, list and verify encrypted backups of the cluster's state"}
	c.AddCommand(backupCreateCommand(), backupListCommand(), backupVerifyCommand())
	return c
}

func backupCreateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "create",
		Short: "Write a backup of the cluster's state to a file, encrypted",
		Long: `Writes the whole state of the cluster, while it runs, to a file that is compressed and encrypted: to one or more age public
keys (made with age-keygen), or with a passphrase. It is encrypted on the node that makes it. Made on a voter, it restores to
any point from the oldest snapshot that the voter's log still reaches back to; made elsewhere, to the present one alone.
Model files and the nodes' own configurations are not in it.`,
		Args: cobra.NoArgs,
	}
	flags := where(c)
	out := c.Flags().String("out", "", "file to write; default: a name that tells the cluster, time and index, in this directory")
	recipients := c.Flags().StringSlice("recipient", nil, "age public key (age1...) whose private key opens the backup; may be repeated")
	phrase := c.Flags().String("passphrase-file", "", "file whose first line is the passphrase that opens the backup")
	c.MarkFlagsOneRequired("recipient", "passphrase-file")
	c.MarkFlagsMutuallyExclusive("recipient", "passphrase-file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		to, seal, err := sealing(*recipients, *phrase)
		if err != nil {
			return err
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		query := url.Values{"recipient": to}
		answer, err := api.Open(c.Context(), "/admin/v1/backup?"+query.Encode())
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		path := *out
		if path == "" {
			if path, err = offeredName(answer.Header.Get("Content-Disposition")); err != nil {
				return err
			}
		}
		if err := backup.Create(path, func(w io.Writer) error { return seal(w, answer.Body) }); err != nil {
			return fmt.Errorf("no backup was made: %w", err)
		}
		warnOfName(c.ErrOrStderr(), path)
		return tellBackup(c.OutOrStdout(), path)
	}
	return c
}

// warnOfName tells of a backup that will not be found by its name.
func warnOfName(w io.Writer, path string) {
	if !strings.HasSuffix(path, backup.Extension) {
		fmt.Fprintf(w, "warning: the name of %s does not end in %s: lotabots backup ls and restore pass it over in a directory\n", path, backup.Extension)
	}
}

// tellPassedOver names the files of a directory that are taken for no backups.
func tellPassedOver(w io.Writer, dir string) error {
	names, err := backup.PassedOver(dir)
	if err != nil || len(names) == 0 {
		return err
	}
	const most = 10
	more := ""
	if over := len(names) - most; over > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", over)
	}
	fmt.Fprintf(w, "warning: passed over in %s, as their names do not end in %s: %q%s\n", dir, backup.Extension, names, more)
	return nil
}

// sealing says to whom the node is to encrypt, and how what it sends becomes the
// file. For a passphrase, which no node is told, the file is encrypted to a key
// of this process alone on its way here.
func sealing(recipients []string, phrase string) (to []string, seal func(w io.Writer, from io.Reader) error, err error) {
	if phrase == "" {
		if _, err := backup.Recipients(recipients); err != nil {
			return nil, nil, err
		}
		return recipients, func(w io.Writer, from io.Reader) error {
			_, err := io.Copy(w, from)
			return err
		}, nil
	}
	file, err := os.Open(phrase)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	last, err := backup.PassphraseRecipient(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", phrase, err)
	}
	key, between, err := backup.Ephemeral()
	return []string{between}, func(w io.Writer, from io.Reader) error {
		_, err := backup.Reseal(w, from, key, last)
		return err
	}, err
}

// offeredName is the name that the node gives the file, if it is no more than that.
func offeredName(disposition string) (string, error) {
	_, parameters, err := mime.ParseMediaType(disposition)
	name := parameters["filename"]
	if err != nil || name != filepath.Base(name) || !strings.HasSuffix(name, backup.Extension) {
		return "", errors.New("the node offers no name for the file: give --out")
	}
	return name, nil
}

func tellBackup(w io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	m, err := backup.ReadManifest(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(w, "%s: %s, cluster %s as of index %d\nrestores to %s\n", path, size(uint64(info.Size())), m.Cluster, m.Index, m.Range())
	if !m.Current {
		fmt.Fprintf(w, "warning: no leader confirmed that node %s has the newest state: writes of others may be missing\n", m.Node)
	}
	return nil
}

// backupRow is a backup as ls shows it.
type backupRow struct {
	File string `json:"file"`
	Size int64  `json:"size"`
	backup.Manifest
	Problem string `json:"problem,omitempty"`
}

// withMillis is how restore --time takes a time to the millisecond.
const withMillis = "2006-01-02T15:04:05.000Z07:00"

func backupListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "ls DIR", Short: "List the backups in a directory by what they say in clear; needs no key, and vouches for nothing", Args: cobra.ExactArgs(1),
	}
	format := output(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		files, err := backup.List(args[0])
		if err != nil {
			return err
		}
		if err := tellPassedOver(c.ErrOrStderr(), args[0]); err != nil {
			return err
		}
		rows := make([]backupRow, len(files))
		for i, f := range files {
			rows[i] = backupRow{File: filepath.Base(f.Path), Size: f.Size, Manifest: f.Manifest}
			if f.Err != nil {
				rows[i].Problem = f.Err.Error()
			}
		}
		return show(c, *format, rows, func(w io.Writer) {
			row(w, "FILE", "SIZE", "CLUSTER", "FROM", "FROM TIME", "TO", "TO TIME", "CURRENT", "NODE", "BUILD")
			for _, r := range rows {
				if r.Problem != "" {
					row(w, r.File, size(uint64(r.Size)), r.Problem)
					continue
				}
				row(w, r.File, size(uint64(r.Size)), r.Cluster, max(r.From, min(r.Index, 1)), r.FromTime.Format(withMillis), r.Index, r.ToTime.Format(withMillis), r.Current, r.Node, r.Build)
			}
		})
	}
	return c
}

func backupVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a backup to its end with its key, and say whether it is whole, or where it is damaged",
		Long: `Reads every record and entry of a backup, and restores it into a temporary directory to compare the hash of the state.
`,
		Args: cobra.ExactArgs(1),
	}
	keys := keyFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		with, err := keys()
		if err != nil {
			return err
		}
		file, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		m, err := verifyBackup(file, with)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s is whole: cluster %s as of index %d, made %s on node %s by build %s\nrestores to %s\nstate hash %s\n",
			args[0], m.Cluster, m.Index, m.Time.Format(time.RFC3339), m.Node, m.Build, m.Range(), m.StateHash)
		if !m.Current {
			fmt.Fprintln(c.OutOrStdout(), "warning: no leader confirmed that it was the newest state")
		}
		return nil
	}
	return c
}

// verifyBackup reads the file, and restores it where nothing is kept.
func verifyBackup(file io.ReadSeeker, with []backup.Identity) (m backup.Manifest, err error) {
	if m, err = backup.Verify(file, with...); err != nil {
		return m, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return m, err
	}
	dir, err := os.MkdirTemp("", "lotabots-verify-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return backup.Rehearse(filepath.Join(dir, "db"), file, nil, with...)
}

// keyFlags adds the flags by which a backup is opened, and returns how to read them.
func keyFlags(c *cobra.Command) func() ([]backup.Identity, error) {
	key := c.Flags().String("identity", "", "file of the private key, as age-keygen writes it")
	phrase := c.Flags().String("passphrase-file", "", "file whose first line is the passphrase")
	c.MarkFlagsOneRequired("identity", "passphrase-file")
	c.MarkFlagsMutuallyExclusive("identity", "passphrase-file")
	return func() ([]backup.Identity, error) {
		path := *key
		if path == "" {
			path = *phrase
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		var out []backup.Identity
		if *key != "" {
			out, err = backup.Identities(file)
		} else {
			var one backup.Identity
			one, err = backup.PassphraseIdentity(file)
			out = []backup.Identity{one}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return out, nil
	}
}
