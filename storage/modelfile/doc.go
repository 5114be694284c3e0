// Package modelfile reads what a model's file says of itself: its architecture,
// its weights, and what each token of a request takes, so that the memory of an
// instance can be estimated before it is placed (cluster/placement).
//
// Read takes a GGUF, through gguf-parser-go, which knows the architectures that
// llama.cpp knows, or a folder with safetensors and config.json as Hugging Face
// lays them out, by a parser of its own. What it reads comes from strangers: scan
// looks a GGUF's header through first and refuses what would make the library
// hang, exhaust memory or recurse without end; what it panics at is an error.
//
// node/ calls it at an import, and the command line for `lotabots plan`. It
// imports cluster/wire and no other room, and keeps nothing.
package modelfile
