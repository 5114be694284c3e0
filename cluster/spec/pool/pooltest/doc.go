// Package pooltest measures what pools are worth: the same work with one and without, by a benchmark of each package that has
// pools. The lines are read by node/bench/pools.
//
// Benchmarks alone import it; it imports no room.
package pooltest
