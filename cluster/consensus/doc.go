// Package consensus has the cluster agree: it runs Raft over the cluster port,
// brings every write to the leader, answers linearizable reads and chooses who
// votes.
//
// It owns the Raft server (nobody else sees its type), the protocol of forwarded
// writes and reads (POST /propose, GET /read-index, GET /leader on the port's
// "state" protocol) and the choice of voters. Logs, snapshots and the state
// machine come in through raft's own interfaces.
//
// node/ opens it on voters and takes a Forwarder on every other node. The package
// imports no storage, no transport and no gossip.
//
// Who votes is decided by a pure function (group.next), one change at a time: 1, 3
// or 5 voters, spread over regions and the zones in them, and two spares, which
// are servers without a vote. A draining leader or voter keeps its place.
//
// Not done yet: a write is sent to the leader in one hop, so a node that is cut
// off from the leader alone cannot write.
package consensus
