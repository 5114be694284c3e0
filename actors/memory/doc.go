// Package memory has the decisions about a device's memory: which loaded
// models go to make room for another (Evict), from how often each is asked for
// (Demand) and what it costs to load it again.
//
// The actor of a device (package gpu) calls it with what its table holds and does
// what it says; a simulation there measures the choice against others (make
// bench-eviction). The decisions have no goroutine and read no clock.
//
// It also keeps what instances were measured to take (Learnt), the last loads of
// each kind in a small file of the node, so that the next of their kind has as much
// reserved: more than was estimated, or less where several loads agree (Figure).
//
// It imports cluster/spec and cluster/wire and nothing else of the project.
package memory
