// Package quotas joins gateways to the owners of limits over the cluster.
//
// Limits hash to 256 slots. A slot's owner is the living worker that the slot hashes
// highest with; the one after it is the next owner. Who is asked for a limit that is
// not its own by its own view, or has not heard of the leader for some seconds, grants
// nothing: so two owners grant at a time only as long as two nodes' views of who lives
// differ while both hear of the leader. An owner tells the next one of each change
// within moments, and whoever has become the owner of what it kept. So when an owner
// dies, no more is granted twice than what it granted in the last of these moments:
// one lease at most. Who takes over from an owner that lives grants nothing until that
// one has had the time to tell; gateways ask again meanwhile. What is spent of budgets is noted in the replicated state every
// two seconds, where it outlives all nodes.
//
// While a member's build is below feature level 5, owners are found as builds before
// found them, and nobody is refused or told.
//
// node/ has one Keeper, and node/bench/limits one for each of its nodes. The package
// uses actors/quota and cluster/spec, cluster/wire.
//
// Where the owner and the next one die before another has been told, a rate that its
// new owner does not know counts as spent when it got it.
//
// Not done yet: slots are not assigned by the replicated state, so that a partition in
// which both sides hear of the leader may have two owners of a slot.
package quotas
