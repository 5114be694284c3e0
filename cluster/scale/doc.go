// Package scale decides how many replicas of a deployment are to run: a pure
// function from its bounds and targets (wire.Scale), and what has been observed of
// its requests and replicas, to a number and the reason for it.
//
// It owns the reckoning: how much is asked for (Little's law over what gateways
// and actors tell), how much more will be by the time that a replica has been
// loaded, what schedules bound, and the windows that keep the number from
// following every wave. Decide reads no clock and keeps nothing. A Controller is
// the memory between looks, of one leader's term: a new leader goes on from what
// is placed, and wants fewer only after it has seen a whole window itself.
//
// cluster/reconcile calls it, and node/bench/scaling on virtual time. It imports
// cluster/spec and cluster/wire alone, and does nothing itself: the planner places
// what is wanted and drains what is not.
package scale
