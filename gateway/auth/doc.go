// Package auth tells who sends a request and what they may do, from memory
// alone: the text of API keys and of access tokens, and a table that follows the
// cluster's keys, tenants, users, roles, bindings, sessions and signing keys.
//
// The gateway calls it; it decides by gateway/access. It imports cluster/spec
// and cluster/wire beside that, does no I/O, and allocates nothing to identify a
// key, or a token that it has seen before, or to decide. A CPU's instruction to
// prefetch is in assembly, for amd64 and arm64; elsewhere a check waits for memory.
//
// The table is one immutable snapshot behind one pointer. A change copies the
// few kilobytes on the path to its record and swaps the pointer; a request reads
// the snapshot without a lock. What follows from several records (a user's
// grants: bindings, groups, roles) is worked out at the first question and kept
// with the record until anything that it could depend on has changed.
package auth
