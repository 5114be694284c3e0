// Package slots finds how many requests at a time an instance serves best: no fewer than one,
// no more than its engine takes.
//
// A Controller is a pure state machine: the time, the requests that have ended and what the
// engine tells of itself are given in. package gpu has one for each instance that it holds,
// node/bench/slots runs it on virtual time (package trial). It imports nothing of the project.
//
// It begins with all that the engine takes, and goes by throughput alone: by Little's law that
// is the requests held at a time, over the time that each holds its place for a token. Where their
// number changes meanwhile it counts by what each has of the engine, one over the number.
//
// Evidence comes of requests that have ended, and, where tokens of those under way are known of, of
// what they were given over some time (watch.go): it has one form, and is counted in requests.
// What each number of requests has brought (known, in level.go) is remembered for some minutes, and
// for ten times as long for those moments at which fewer come than may (notice.go); beside that, what has
// come since the limit was moved (here), what was tried (search), and what the engine tells of
// itself (engine.go).
//
// Of the numbers that are known it takes the least that is nearly as good as the best: more would
// only make requests wait inside of the engine, where they cannot go elsewhere any more.
// What is not known is tried, a step at a time, where there is demand, and the more rarely the
// more often it was in vain.
package slots
