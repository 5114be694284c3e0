// Package raftlog keeps Raft's log and Raft's own variables: it is the
// raft.LogStore and raft.StableStore of a server.
//
// It owns two prefixes of the node's database. What it has acknowledged is on
// disk: every write is synced, a batch of entries by one sync. The first and
// last index are kept in memory.
//
// Where the disk does not answer, StoreLogs returns an error, so that a leader
// steps down. What Raft cannot be told of without harm (a deleted tail, a term
// that was not kept) waits for the disk.
//
// node/ makes a Store and hands it to consensus. The package imports no other
// room; it knows entries as bytes and not what they command.
//
// The commit index is not tracked (raft.CommitTrackingLogStore): Raft asks for it
// to apply committed entries again when it starts, before it knows a leader, and
// the state machine here is on disk and knows itself how far it has come.
package raftlog
