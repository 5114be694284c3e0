// Package quota owns cluster-wide limits: one actor per node keeps the state of
// the limits that hash to its node, and gives gateways short leases of them. A rate is
// a leaky bucket that holds a minute's worth; a budget is of a calendar day or month, in
// UTC by the owner's clock. The actor also keeps what other owners tell it, as the
// next one in case they die, and tells what it knows when it is asked to collect.
//
// A gateway says of which of its requests it had the answer: what was done for one that it had none of is undone
// before its next is answered, as it holds nothing of that and tells again what it told (askers.go). A next owner does not
// know of these: what one gateway said once may count twice then.
//
// package actors spawns the actor and asks it; node/quotas decides which node owns a
// limit, and brings what is collected to the next owner and into the replicated state.
// The arithmetic is pure and reads no clock. The package imports protoactor and
// cluster/wire, and no other room.
package quota
