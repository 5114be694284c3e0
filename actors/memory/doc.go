// Package memory has the pure decisions about a device's memory: which loaded
// models go to make room for another (Evict), from how often each is asked for
// (Demand) and what it costs to load it again.
//
// The actor of a device (package gpu) calls it with what its table holds and does
// what it says; a simulation there measures the choice
// against others (make bench-eviction). It has no
// goroutine and reads no clock.
//
// It imports cluster/spec and nothing else of the project.
package memory
