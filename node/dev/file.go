package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// File is cluster.json: where a dev cluster is and how to speak to it.
type File struct {
	AdminKey   string `json:"admin_key"` // may also infer
	Deployment string `json:"deployment"`
	Dev        int    `json:"dev_pid"` // the process that a Ctrl-C ends; nodes follow it
	Nodes      []Node `json:"nodes"`
}

// Node is one node process of a dev cluster.
type Node struct {
	ID      string `json:"id"`
	PID     int    `json:"pid"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	API     string `json:"api"`                      // URL
	Cluster string `json:"cluster"`                  // host:port under which the other nodes reach it
	Listen  string `json:"cluster_listen,omitempty"` // host:port that it listens on, where that is another
	Data    string `json:"data"`                     // directory
}

// Node returns the node of that id.
func (f *File) Node(id string) (*Node, error) {
	for i := range f.Nodes {
		if f.Nodes[i].ID == id {
			return &f.Nodes[i], nil
		}
	}
	return nil, fmt.Errorf("no node %q in this cluster", id)
}

func path(dir string) string { return filepath.Join(dir, "cluster.json") }

// Load reads dir/cluster.json.
func Load(dir string) (*File, error) {
	f, err := loadFile(path(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no dev cluster in %s: %w", dir, err)
	}
	return f, err
}

func loadFile(name string) (*File, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &File{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Save writes dir/cluster.json with mode 0600, renamed into place.
func (f *File) Save(dir string) error { return f.saveAs(path(dir)) }

func (f *File) saveAs(name string) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return whole.WriteUnsynced(name, append(raw, '\n')) // it names processes
}

// update changes dir/cluster.json under a lock, so that two commands lose nothing.
func update(dir string, change func(*File) error) error {
	lock, err := os.OpenFile(filepath.Join(dir, ".cluster.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	f, err := Load(dir)
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	return f.Save(dir)
}
