// Package batch puts small requests for embeddings, or for ranks, together, so that many of
// them are one call to their engine, and gives each its own part of the answer.
//
// A request that comes while nothing runs goes at once. What comes while a call runs
// waits for it to end and goes together then (a window bounds that where an engine may
// have several calls at a time). Only what is for the same instance, version, adapter,
// model and parameters goes together; requests of different tenants do, for none sees
// anything of another's. A call takes one slot, for which its callers wait here as
// others do at their gateways.
//
// A call that the engine refuses is divided until what it refuses stands alone, and that
// request gets the engine's own answer. Who leaves takes nobody along; where all have
// left, the call ends. Tokens are divided as the engine tells them for each input, or
// else by the lengths of the inputs; the time of the slot by tokens. The sums are exact.
//
// package actors calls it, as the stage before admission. It imports cluster/spec alone.
//
// Ranks go together at the embedded engine alone, which takes several queries in one call:
// no other engine does, and documents of one query may be judged in view of each other there.
package batch
