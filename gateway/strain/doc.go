// Package strain tells when a gateway has more to do than it can, by its processors and
// by how long its goroutines wait to run, and which requests it is to take then: the
// highest priority first.
//
// The gateway starts one Watch and asks it before it looks at a request. Pace is the pure
// part: samples in, a pace out. It imports gateway/fair alone. How full engines are is
// not its business: their actors and the queues see to that.
//
// Not done: to refuse costs too, as the connection, the head and the key are looked at
// first; so thrice the load leaves less than what could be served.
package strain
