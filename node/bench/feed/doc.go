// Command feed measures the state feed with a thousand followers on one machine:
// `make bench-feed`. Three servers, a real Raft group over Pebble on disk, run in
// a process of their own; the followers, each with a cluster port, a certificate
// and a state of its own, run in this one. How long after the writer's
// acknowledgement an entry is applied on each follower is compared, round by
// round, with a bare broadcast: the same bytes by one write to each of as many raw
// connections of the same ports, without frames, heartbeats or HTTP, applied by
// the same code.
//
// The followers' databases are in memory, since a thousand on one disk would
// measure that disk. With 4,500 keys, more than the entries that a server keeps, so
// that a snapshot is needed, they take 11 GB. Their share of the processors is by
// far the largest, so a busy machine shows in the delays first: compare with the
// broadcast's. On as many machines the delay would be the network's, and up to 50 ms
// for a server that does not lead to hear that an entry is agreed on.
//
// It imports cluster and storage as node/ does, and no other room.
package main
