// Package auth tells who sends a request and what they may do, from memory
// alone: the text of API keys, their patterns and scopes, and a table that
// follows the cluster's state.
//
// The gateway calls it. It imports cluster/spec and cluster/wire, does no I/O,
// and allocates nothing to identify a key.
package auth
