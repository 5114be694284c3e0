// Command routing simulates gateways and GPUs on virtual time, and has the gateways
// choose by the production code: package gateway/balance, with actors/gate at each
// GPU. It prints the 99th percentile of the time to the first token next to that of
// one logical queue that knows everything, and of round robin, power of two choices
// and least request.
//
// What a run prints follows from its flags alone. Nothing else of the project
// calls it; make bench-routing does.
//
// What it does not simulate: lost messages, dead nodes, prefill that slows decode.
package main
