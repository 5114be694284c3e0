// Package snapshot keeps Raft's snapshots as files: the raft.SnapshotStore of
// the voters.
//
// It owns their directory. A snapshot is two files, ID.state with what the state
// machine wrote and ID.meta with what Raft knows of it and the SHA-256 of both;
// the second is written last, and without it the first is nothing. So a crash at
// any point leaves the snapshots that were there, and at most a rest that the
// next Open removes. What does not match its digest is not listed.
//
// node/ opens it for consensus. It imports hashicorp/raft for its types and no
// other room; the content is storage/state's and not looked at.
//
// A damaged snapshot stays for whoever wants to look, its meta file renamed to
// ID.meta.damaged, until another is taken and as many whole ones are there as
// are to be retained.
package snapshot
