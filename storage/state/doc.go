// Package state is the state machine: it applies the commands that the cluster
// has agreed on to the records that they are about, and lets the node read them.
//
// It owns the records (nodes, tenants, API keys and their last uses, users, roles,
// bindings, sessions, deployments, placements, models, join tokens, sealed secrets,
// settings), their secondary indexes, the audit log, the answers to recent requests,
// the format of snapshots, and the window of recent entries that the state feed
// sends on. A Raft server drives it as raft.FSM, a
// follower of the feed by ApplyEntry and ReadSnapshot: the same code, so that both
// come to the same bytes at the same index. Apply reads no clock but the
// command's and no random numbers.
//
// node/ opens it over storage's database, hands it to consensus and feed, and
// reads from it. The package imports no other room.
//
// Durability. A batch carries the index that it brings the records to and is not
// synced: after a crash the log gives again what was lost. A snapshot that Raft
// keeps is durable here before it is closed, since Raft gives nothing below it
// again. Restore is durable when it returns.
//
// The audit log. Apply itself writes who changed what, with the change and its
// refusal alike, so that no proposer can leave it out and every node has the same
// log. Each entry has the hash of the one before. It has no more than a million
// entries. What apply reads of a record into the log is masked by the names of its
// fields: a new field that holds a secret needs a name that tells (isSecret).
//
// An entry that this build cannot apply halts it: Apply panics and says which
// level is missing, ApplyEntry returns an error and goes no further.
//
// Usage. What a gateway's ledger sums up is added to the sums of its minute, hour and
// day at once, so that coarser sums never wait for finer ones to end. A batch names
// the records that it is of, by their numbers in that ledger, and is counted only
// where it follows the one before. Sums are bounded in age, by settings, and in
// number; when the first were dropped is kept beside them.
//
// Budgets. Their owners note every few seconds what is spent of them, as two numbers
// that only rise within a period: an owner that begins goes on from there. Neither
// usage nor budgets are in the audit log, or take the place of others' answers.
//
// Not done yet: the records of one kind
// are read from disk one by one, without a cache of decoded ones; the versions of
// removed deployments and the ids of removed users are kept for ever.
package state
