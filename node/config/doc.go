// Package config is a node's own configuration: what it is (id, roles, region),
// where it listens, where it keeps its data, and what only its owner may decide
// (engine binaries, fault injection). What the whole cluster agrees on is in the
// replicated state instead.
//
// Sources, later ones win: defaults, the file, LOTABOTS_* variables, flags. Every
// problem is listed at once. Reloadable is what a running node may change; all
// else needs a restart. node/examples/node.yaml is Example's text. It imports no
// room.
package config
