// Command batching measures what putting requests for embeddings together is worth, on
// the embedded engine with a real model: `make bench-batching`. Two deployments of one
// model, one with batching and one without, each with an engine of its own on the same
// processors, are asked in turn through the same gateway by clients that send one input
// each, as fast as they are answered. Both engines compute for several requests in one
// step where several are sent to them at a time: what is compared is what LotaBots sends.
//
// The generator shares the machine, so only ratios mean anything; figures are medians of
// the rounds' own. The model is the demonstration's unless another is named: the larger
// the model, the more of a request is the engine's own time.
//
// It starts real processes and imports node/client and node/dev, and no room.
package main
