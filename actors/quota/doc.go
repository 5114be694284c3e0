// Package quota owns cluster-wide limits: one actor per node keeps the state of
// the limits that hash to its node, and gives gateways short leases of them.
//
// package actors spawns the actor and asks it; node/ decides which node owns a
// limit. The arithmetic is pure and reads no clock. The package imports
// protoactor and cluster/wire, and no other room.
//
// Not done yet: an owner's state is in memory alone, so that a limit starts full
// when its owner dies or another takes over; owners are not fenced by the state.
package quota
