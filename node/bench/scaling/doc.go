// Command scaling simulates the requests and replicas of one deployment on virtual
// time, and has the number of replicas chosen by the production code, package
// cluster/scale, looking once a second. It prints, for several traces and times that
// a replica takes to be loaded, how many seconds the target was missed in, how often
// replicas changed and how many there were on average, next to those of a number
// that never changes, of who knows the future, and of a plain threshold rule.
//
// What a run prints follows from its flags alone. Nothing else of the project calls
// it; make bench-scaling does.
//
// What it does not simulate: the planner and its lack of room, loads that fail,
// nodes that die, requests whose cost depends on how full a replica is.
package main
