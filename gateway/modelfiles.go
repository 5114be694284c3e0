package gateway

import (
	"context"
	"io"

	"github.com/lotabots/lotabots/cluster/wire"
)

// Models is what is done with model files, on this node and, where it says so, on all.
type Models interface {
	// Import stores what r gives as the model of that name and makes it known to the cluster.
	Import(ctx context.Context, name string, r io.Reader) (*wire.Model, error)
	// ImportFolder does so with the files of a tar.
	ImportFolder(ctx context.Context, name string, r io.Reader) (*wire.Model, error)
	// Homes are the nodes that are to have the model.
	Homes(name string) []string
	// Copies tells what every living node has, and what is on its way there.
	Copies(ctx context.Context) []NodeStorage
	// Storage tells that, and what may go.
	Storage(ctx context.Context) []NodeStorage
	// Collect removes on every living node what may go.
	Collect(ctx context.Context) []NodeStorage
	// Verify has every node that has the model check it, and tells how each stands.
	Verify(ctx context.Context, name string) ([]ModelCheck, error)
	// Pull begins to bring a model from a URL to this node; see Storage for its end.
	Pull(ctx context.Context, name, url, digest string) (ModelTransfer, error)
	CancelPull(ctx context.Context, name string) error // on whichever node
}

// NodeStorage is what a node tells of its model files.
type NodeStorage struct {
	Node      string          `json:"node"`
	Used      int64           `json:"used"`  // bytes
	Limit     int64           `json:"limit"` // models.disk; 0: none
	Free      int64           `json:"free"`  // on the disk; below 0: not known
	Models    []ModelCopy     `json:"models"`
	Coming    []ModelTransfer `json:"coming"`
	Checks    []ModelCheck    `json:"checks"`
	Removable []Removable     `json:"removable"`
	Error     string          `json:"error,omitempty"` // it did not tell
}

// A ModelCopy is what a node has of a model.
type ModelCopy struct {
	Digest string `json:"digest"` // hex
	Kind   string `json:"kind"`   // whole, partial or damaged
	Bytes  int64  `json:"bytes"`
	UsedMS int64  `json:"used_ms"`
}

// A ModelTransfer is a model on its way to a node, or one that did not come.
type ModelTransfer struct {
	Node    string `json:"node"`
	Model   string `json:"model"`
	Digest  string `json:"digest"`
	From    string `json:"from"` // nodes, or the URL
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"total"` // 0: not known yet
	Rate    int64  `json:"rate"`  // bytes a second since it began
	BeganMS int64  `json:"began_ms"`
	Error   string `json:"error,omitempty"` // it has ended without the model
	Hint    string `json:"hint,omitempty"`
}

// A ModelCheck is what a check of a model's files on one node has found.
type ModelCheck struct {
	Node     string       `json:"node"`
	Model    string       `json:"model"`
	Digest   string       `json:"digest"`
	Running  bool         `json:"running"`
	Bytes    int64        `json:"bytes"` // read so far
	Total    int64        `json:"total"`
	AtMS     int64        `json:"at_ms"` // when it began
	Damaged  []ModelFault `json:"damaged"`
	Repaired bool         `json:"repaired"` // from other nodes; true where nothing was damaged
	Error    string       `json:"error,omitempty"`
	Hint     string       `json:"hint,omitempty"`
}

// A ModelFault is a damaged chunk.
type ModelFault struct {
	Chunk int    `json:"chunk"`
	File  string `json:"file"`
}

// Removable is what a node removes, or has removed.
type Removable struct {
	Digest string `json:"digest"` // hex
	Model  string `json:"model"`  // name; empty: no record has it
	Kind   string `json:"kind"`
	Bytes  int64  `json:"bytes"`
	Cause  string `json:"cause"` // unknown, left, damaged or pressure
	InMS   int64  `json:"in_ms"` // until it may be removed; 0: now
	InUse  bool   `json:"in_use"`
}
