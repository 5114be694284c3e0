// Package placement decides where instances of deployments run: a pure function
// from what is wanted (the state) and what is observed (digests, liveness) to the
// actions that bring the one nearer to the other.
//
// It owns the rules: where a replica may go, who keeps its place for how long,
// what is replaced before what is unloaded. It does nothing itself: the
// reconciler on the leader carries the actions out and calls again. Plan reads no
// clock and keeps nothing between calls, so that a new leader decides as the old.
//
// What runs well is moved in two cases alone: where it stands better by a whole rank
// (improve.go), and to make room for one that has no place otherwise (room.go,
// packer.go). A move is a placement that names the instance it replaces, so that it
// goes on over calls and leaders; the old one serves until the new one does.
//
// Not done yet: in clusters of more than some dozens of devices the search for room looks
// at the most promising ones alone, and at one set of devices of each node. A move is not weighed by the size of its model.
package placement
