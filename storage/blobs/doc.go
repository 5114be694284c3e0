// Package blobs keeps model files by their content: a file's name is the SHA-256
// of what is in it, so the same bytes are kept once, whatever they are called.
//
// It owns the directory of models: whole files, files that are being imported,
// files that are on their way from other nodes, and damaged ones that were set
// aside. A whole file has been verified to the last byte before it got its name.
// They are GGUFs, or tars of LoRA adapters (adapter.go). What a model is called, and which chunks it has, is in the replicated state.
//
// node/ calls it for imports and for the engines' paths; cluster/blob reads and
// writes chunks through interfaces. It imports the words of cluster/spec and
// cluster/wire and no other room.
//
// Not done yet: nothing removes the files of models that the state has no longer,
// and a file that rots is noticed when one of its chunks is read for another node,
// not when an engine maps it.
package blobs
