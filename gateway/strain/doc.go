// Package strain tells when a gateway has more to do than it can, by its processors and
// by how long its goroutines wait to run, and which requests it is to take then: the
// highest priority first.
//
// The gateway starts one Watch and asks it before it looks at a request. Pace is the pure
// part: samples in, a pace out. It imports gateway/fair alone. Not done: how full engines
// are is no business of its own, their actors and the queues see to that.
package strain
