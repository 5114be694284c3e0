package node

import (
	"os"
	"path/filepath"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/config"
)

// layout is where everything lies in a node's data directory.
type layout struct{ dir string }

func (l layout) configuration() string { return filepath.Join(l.dir, "node.yaml") } // written last: its presence says that the node is a member
func (l layout) membership() string    { return filepath.Join(l.dir, "membership.json") }
func (l layout) bootstrap() string     { return filepath.Join(l.dir, "bootstrap.json") }
func (l layout) context() string       { return filepath.Join(l.dir, "context.json") }
func (l layout) identity() string      { return filepath.Join(l.dir, "identity") }
func (l layout) database() string      { return filepath.Join(l.dir, "db") }
func (l layout) rehearsal() string     { return filepath.Join(l.dir, "rehearsal") }
func (l layout) snapshots() string     { return filepath.Join(l.dir, "snapshots") }
func (l layout) models() string        { return filepath.Join(l.dir, "models") }
func (l layout) engines() string       { return filepath.Join(l.dir, "engines") }
func (l layout) peers() string         { return filepath.Join(l.dir, "peers.json") }
func (l layout) faults() string        { return filepath.Join(l.dir, "quarantine.json") }
func (l layout) learnt() string        { return filepath.Join(l.dir, "learnt.json") }

// ConfigFile is the configuration file in the data directory dir.
func ConfigFile(dir string) string { return layout{dir}.configuration() }

// member tells whether the directory belongs to a member of a cluster.
func (l layout) member() bool {
	_, err := os.Stat(l.configuration())
	return err == nil
}

// claim makes the directory for a node that is about to become a member.
func (l layout) claim(id string) error {
	if l.member() {
		return &spec.Error{
			Code: spec.CodeAlreadyExists, Message: l.dir + " belongs to a node that is a member of a cluster already",
			Hint: "Start it with lotabots node run --data " + l.dir + ", or give another --data for node " + id + ".",
		}
	}
	return os.MkdirAll(l.dir, 0o700)
}

// seal ends a node's becoming a member: after this, `node run` will start it.
func (l layout) seal(c config.Config) error {
	return config.Write(l.configuration(), c)
}
