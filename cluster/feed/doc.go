// Package feed carries the agreed state to nodes that are no Raft servers: a
// snapshot where it is needed, then every entry as it is applied.
//
// It owns the protocol, GET /feed?from=INDEX: frames without an end, of which
// every server of the state can be asked. A follower that loses its server goes
// on at another from where it is. The entries themselves are read and applied by
// a store, which comes in through interfaces.
//
// node/ serves Handler on the cluster port's "state" protocol and runs a Follower
// on nodes that get no Raft log. The package imports no storage and no Raft.
package feed
