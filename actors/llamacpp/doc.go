// Package llamacpp is the embedded engine: it serves one GGUF model by llama.cpp's shared libraries,
// with continuous batching, over HTTP in OpenAI's shape.
//
// One goroutine owns the generating context and everything in it (generator), one more the embedding
// context (embedder); requests reach them by channels and get their text through outboxes, so that a
// slow client holds nobody up. The libraries may abort the process, which is why the engine runs in
// lotabots-engine, a process of its own, and why nothing in it is worth keeping.
//
// Not there yet: log probabilities, tools, JSON grammar, several answers per request, reranking, reuse
// of a prompt's beginning between requests, moving a sequence elsewhere. Fields that ask for these are
// refused by name. llama.cpp picks its CPU variant by CPU flags; no measurement corrects it. GPUs are
// placed on by --device N, which nobody has tried.
//
// node/cmd/lotabots-engine calls it, and nothing else may: it links libffi, which the node's binary
// must run without. It imports cluster/spec, its own subpackages and yzma's binding.
package llamacpp
