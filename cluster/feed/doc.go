// Package feed carries the agreed state to nodes that are no Raft servers: a
// snapshot where it is needed, then every entry as it is applied.
//
// It owns the protocol, GET /feed?from=INDEX&level=LEVEL&format=2: frames without
// an end, each with a checksum, of which every server of the state can be asked. A
// follower that loses its server goes on at another from where it is. The entries
// themselves are read and applied by a store, which comes in through interfaces.
//
// A server makes a frame once for all its followers, and a snapshot once for all
// who need one at a time. A follower that is slow holds up nobody and no memory:
// it blocks its own stream, is sent a snapshot once the entries that it lacks are
// no longer kept, and is dropped if it takes nothing. The number of followers is
// bounded. One whose build is older than the state is told so and left out:
// Follower.Trouble says why a copy is not kept up.
//
// node/ serves Handler on the cluster port's "state" protocol and runs a Follower
// on nodes that get no Raft log. The package imports no storage and no Raft.
//
// Not done yet: a follower of another region asks servers anywhere, not the nearest
// first; snapshots are not compressed.
package feed
