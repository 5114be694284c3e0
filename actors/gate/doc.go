// Package gate decides, for one instance, when a request has room and which of
// the gateways whose requests wait is granted the next place.
//
// A Gate is a pure state machine: the time and the facts about the instance are
// given in, it runs no goroutine, and in steady state it allocates nothing.
// package gpu has one for each instance that it holds, and node/bench/routing runs
// it on virtual time. It imports cluster/spec alone.
package gate
