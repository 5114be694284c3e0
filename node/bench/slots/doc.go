// Command slots has the production code, package actors/slots, find how many requests at a
// time suit simulated engines, on virtual time, and holds what they serve then, and how long
// their requests take, against the best number of requests that never changes.
//
// What a run prints follows from its flags alone. Nothing else of the project calls it; make
// bench-slots does.
//
// What it does not simulate: see package trial.
package main
