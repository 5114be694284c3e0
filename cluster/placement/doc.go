// Package placement decides where instances of deployments run: a pure function
// from what is wanted (the state) and what is observed (digests, liveness) to the
// actions that bring the one nearer to the other.
//
// It owns the rules: where a replica may go, who keeps its place for how long,
// what is replaced before what is unloaded. It does nothing itself: the
// reconciler on the leader carries the actions out and calls again. Plan reads no
// clock and keeps nothing between calls, so that a new leader decides as the old.
//
// Not done yet: replicas that run well are not moved to even out nodes or
// regions (only two of one deployment on the same device are parted), and a
// deployment never displaces another.
package placement
