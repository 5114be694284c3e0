// Package usage is the ledger of the requests that a gateway has served: one record
// for each, on this node's disk, and what the cluster is told of them.
//
// It owns the records (storage.Usage), their numbers, and how far the state has them.
// node/ opens one where it runs a gateway and gives it the way to the state; the
// gateway calls Settle before a request's last bytes are sent, and Note for what is
// over already. It imports no other room.
//
// Durability. With a journal, Settle returns once its record is in a file of the ledger's own, by a plain write on the
// caller's goroutine: what the kernel has outlives the process, whatever kills it, and no disk has to be waited for. Who
// writes does so for those too who come meanwhile; nobody else is woken. The writer puts the records into Pebble by a synced batch
// 75 ms after the first of them, and what a crash has left in the journal alone is put there by the next Open, under the same
// numbers. A power cut may take what was settled since the last batch: some 75 ms, a sync, and what that waits for. Nothing
// is counted twice by it, for the state is told of what is in Pebble alone.
//
// Where there is no journal, or it is full or has failed, or a sync takes longer than 50 ms (so that a write might stand still
// too), Settle waits for its record's batch, for a second at most: then, and while the disk is known to stand still, the
// request is answered all the same and its record is written as soon as the disk takes it (counted as late). One
// request at most is caught in a write when a disk begins to stand still, until it moves on: a write that has begun cannot be
// given up. What the queue has no room for, or a disk that has failed takes no more, is lost, and counted so.
//
// Counting once. Records are numbered without gaps. A batch for the state tells
// which numbers it sums up, follows the one before, and is made of records on disk
// alone; see state's PutUsage. So one that is told again, by a gateway that was
// killed or had no answer, is counted once; and a state of an older backup is told again
// what it lacks, as far as the records are kept.
//
// Reading. Find gives single records, as far as they are kept, the last written first; nothing is
// indexed, and each call looks at a bounded number of them.
//
// Bounds. Records that the state has are kept for a time that is a setting, and all of
// them in a number of bytes: beyond that the oldest go, and those among them that the
// state has not heard of are counted as dropped, here and there.
package usage
