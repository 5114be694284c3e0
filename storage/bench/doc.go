// Command bench measures what a write costs by the store that Raft's log is in:
// this repository's, raft-boltdb and raft-wal.
//
// It is a module of its own, so that the other stores stay out of the program's
// dependencies: `make bench-storage` runs it, and `go test ./...` of the
// repository does not see it. It imports storage and storage/raftlog, and nothing
// else of the repository.
//
// Each store serves a group of one real Raft server, with the same transport,
// snapshots and state machine, none of which touch the disk. Writers propose
// entries of the size of this program's commands, each waiting for its answer.
// Raft hands a store the same batches whichever it is, and each makes them durable
// before it answers: by two fdatasync calls in raft-boltdb, by one fsync in raft-wal,
// by one fdatasync here. Each has the options that its maker gives it. Only the store
// of this repository gives up on a disk that stands still, and that is measured too.
// The stores take turns in short rounds, so that a machine whose speed changes is as
// fast for one as for the others; the figure is the median over the rounds of
// the ratios within one round. It ends with a line for each figure.
package main
