// Package blobs keeps model files by their content: a model's name is the SHA-256
// of what is in it, so the same bytes are kept once, whatever they are called.
//
// It owns the directory of models: whole ones, those that are being imported or
// pulled, those that are on their way from other nodes, and damaged ones that were
// set aside. Every chunk of a whole model has been verified before it got its name.
// It is a GGUF, a tar of a LoRA adapter (adapter.go), or a directory of several files
// (folder.go), whose content is one file after the other (parts.go). What a model is
// called, and which chunks it has, is in the replicated state.
//
// node/ calls it for imports and for the engines' paths, node/models for what is kept
// and removed; cluster/blob reads and writes chunks through interfaces. It imports the
// words of cluster/spec and cluster/wire and no other room.
//
// Not done yet: a file that rots is noticed when it is loaded or checked, or when one of
// its chunks is wrong at another node, not while an engine has it mapped.
package blobs
