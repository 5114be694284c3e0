package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
	"github.com/lotabots/lotabots/storage/backup"
	"github.com/lotabots/lotabots/storage/state"
)

const (
	backupConfirm = 3 * time.Second // that the leader may take to confirm that the state is the newest
	backupRetry   = time.Minute     // after a failure
)

// backups makes backups for the gateway's admin API.
type backups struct{ n *Node }

func (b backups) Begin(ctx context.Context, recipients []string) (gateway.Backup, error) {
	to, err := backup.Recipients(recipients)
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "recipient", Message: "The recipient is not valid: " + err.Error() + ".", Err: err}
	}
	return b.n.beginBackup(ctx, to)
}

// A runningBackup is a moment of the state on its way into a file.
type runningBackup struct {
	manifest backup.Manifest
	frozen   *state.Frozen
	history  *backup.History // nil: none
	to       []backup.Recipient
}

// beginBackup takes the state as it is. Without a leader it may not be the
// newest, which the backup tells: it may be all that is left.
func (n *Node) beginBackup(ctx context.Context, to []backup.Recipient) (*runningBackup, error) {
	limit, cancel := context.WithTimeout(ctx, backupConfirm)
	defer cancel()
	confirmed := n.Barrier(limit)
	if confirmed != nil {
		n.log.Warn("a backup is made of a state that nobody confirms to be the newest", "index", n.state.Index(), "error", confirmed)
	}
	b := &runningBackup{to: to}
	if err := b.freeze(n); err != nil {
		return nil, &spec.Error{Code: spec.CodeInternal, Message: "The state could not be read.", Err: errors.Join(err, b.Close())}
	}
	index, err := b.frozen.Index()
	if err == nil && index == 0 {
		err = errors.New("this node has no state yet")
	}
	if err != nil {
		return nil, &spec.Error{Code: spec.CodeStaleState, Message: "This node has no state to make a backup of.", Err: errors.Join(err, b.Close())}
	}
	b.manifest = backup.Manifest{
		Format: backup.Format, Cluster: n.member.Cluster, Index: index, Current: confirmed == nil, Time: time.Now(), Node: string(n.id), Build: n.version,
	}
	return b, nil
}

// freezes is how often a backup looks for a history: between the state and the
// list of snapshots, Raft may have taken away what both had.
const freezes = 3

// freeze takes the state as it is, with as much as a Raft server has of the way there.
func (b *runningBackup) freeze(n *Node) (err error) {
	for range freezes {
		if err := b.Close(); err != nil {
			return err
		}
		if b.frozen, err = n.state.Freeze(); err != nil || n.raft == nil {
			return err
		}
		b.history, err = backup.FindHistory(b.frozen, n.taken, n.raft.Committed(), n.log)
		if err != nil || b.history != nil {
			return err
		}
	}
	n.log.Info("a backup is made that restores to one moment alone: this server's log has no older state and all entries from there")
	return nil
}

func (b *runningBackup) Name() string  { return backup.Name(b.manifest) }
func (b *runningBackup) Index() uint64 { return b.manifest.Index }

func (b *runningBackup) Close() error {
	err := b.history.Close()
	if b.frozen != nil {
		err = errors.Join(err, b.frozen.Close())
	}
	b.history, b.frozen = nil, nil
	return err
}

func (b *runningBackup) Write(w io.Writer) error {
	_, err := backup.Write(w, b.frozen, b.history, b.manifest, b.to...)
	return err
}

// startBackups makes backups on the schedule of this node's own file.
func (n *Node) startBackups(context.Context) error {
	c := n.config.Backup
	if c.Dir == "" {
		return nil
	}
	to, err := backup.Recipients(c.Recipient)
	if err != nil {
		return fmt.Errorf("backup.recipient: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("backup.dir: %w", err)
	}
	last := prometheus.NewGauge(prometheus.GaugeOpts{Name: "lotabots_backup_last_timestamp_seconds", Help: "Time of the newest scheduled backup that this node has made since it started."})
	failed := prometheus.NewCounter(prometheus.CounterOpts{Name: "lotabots_backup_failures_total", Help: "Scheduled backups that failed."})
	n.metrics.MustRegister(last, failed)
	n.background("scheduled backups", func(ctx context.Context) {
		for wait := n.nextBackup(time.Now()); ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if err := n.scheduledBackup(ctx, to); err != nil {
				failed.Inc()
				n.log.Error("a scheduled backup failed; trying again", "directory", c.Dir, "error", err)
				wait = min(backupRetry, c.Every)
				continue
			}
			last.SetToCurrentTime()
			wait = n.nextBackup(time.Now())
		}
	})
	return nil
}

// nextBackup is how long it is to the next one: the schedule goes by what is in
// the directory, so that restarts neither skip one nor make more.
func (n *Node) nextBackup(now time.Time) time.Duration {
	all, err := backup.List(n.config.Backup.Dir)
	if err != nil {
		return 0 // the attempt will tell
	}
	for _, f := range all {
		if f.Err == nil && f.Manifest.Cluster == n.member.Cluster && !f.Manifest.Time.After(now) {
			return max(0, f.Manifest.Time.Add(n.config.Backup.Every).Sub(now))
		}
	}
	return 0
}

func (n *Node) scheduledBackup(ctx context.Context, to []backup.Recipient) error {
	if err := n.hashes.sound(); err != nil {
		return err
	}
	b, err := n.beginBackup(ctx, to)
	if err != nil {
		return err
	}
	defer b.Close()
	dir := n.config.Backup.Dir
	path := filepath.Join(dir, b.Name())
	if err := backup.Create(path, b.Write); err != nil {
		return err
	}
	n.log.Info("a scheduled backup was made", "file", path, "index", b.Index(), "current", b.manifest.Current)
	if !b.manifest.Current { // a node that is cut off must not push out what is newer
		return nil
	}
	removed, err := backup.Prune(dir, n.member.Cluster, n.config.Backup.Keep)
	if len(removed) > 0 {
		n.log.Info("old backups were removed", "files", removed)
	}
	return err
}
