package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/consensus"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/spec/whole"
	"github.com/lotabots/lotabots/node/config"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
	"github.com/lotabots/lotabots/storage/snapshot"
	"github.com/lotabots/lotabots/storage/state"
)

// ground is a node's database while the node does not run. Close it.
type ground struct {
	consensus.Ground
	db    *storage.DB
	state *state.Store
}

func (l layout) openGround(c config.Config, log *slog.Logger) (*ground, error) {
	db, err := storage.Open(l.database(), storage.Options{Log: log})
	if err != nil {
		return nil, err
	}
	g := &ground{db: db}
	if g.state, err = state.Open(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	snapshots, err := snapshot.Open(l.snapshots(), 2, log)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	logs := raftlog.New(db)
	g.Ground = consensus.Ground{
		ID: spec.NodeID(c.Node.ID), Addr: advertised(c.Cluster.Advertise, c.Cluster.Listen),
		Logs: logs, Stable: logs, Snapshots: snapshots, FSM: g.state, Log: log,
	}
	return g, nil
}

func (g *ground) close() error { return g.db.Close() }

// begun is there while a restore or a recover is at work, or after one that was
// cut off. It holds the name of the command.
func (l layout) begun() string { return filepath.Join(l.dir, "unfinished") }

func (l layout) begin(command string) error { return whole.Write(l.begun(), []byte(command)) }

// underWay is the command that was begun and has not come to its end, or "".
func (l layout) underWay() (string, error) {
	raw, err := os.ReadFile(l.begun())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(raw), err
}

func (l layout) finish() error { return os.Remove(l.begun()) }

// checkWhole refuses a directory in which a command was cut off.
func (l layout) checkWhole() error {
	command, err := l.underWay()
	if err != nil || command == "" {
		return err
	}
	return &spec.Error{
		Code: spec.CodeConflict, Message: fmt.Sprintf("lotabots %s was begun on %s and has not come to its end: it was cut off, or is at work still.", command, l.dir),
		Hint: "Run lotabots " + command + " again; nothing of it is done twice",
	}
}

// CheckWhole tells of a restore or recover that was cut off in the data directory dir.
func CheckWhole(dir string) error { return layout{dir}.checkWhole() }

// offlineLogger is of commands that work on a node that does not run: what they
// have to say goes to their own output.
func offlineLogger(w io.Writer, c config.Config) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", c.Node.ID)
}
