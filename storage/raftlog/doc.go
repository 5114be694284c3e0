// Package raftlog keeps Raft's log and Raft's own variables: it is the
// raft.LogStore and raft.StableStore of a server.
//
// It owns two prefixes of the node's database. What it has acknowledged is on
// disk: every write is synced, a batch of entries by one sync. The first and
// last index are kept in memory.
//
// node/ makes a Store and hands it to consensus. The package imports no other
// room; it knows entries as bytes and not what they command.
//
// Not done yet: tracking of the commit index (raft.CommitTrackingLogStore), and
// an error instead of a wait where the disk has stalled.
package raftlog
