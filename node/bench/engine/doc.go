// Command engine measures the embedded engine next to llama.cpp's own server: `make bench-engine`. Both
// serve the same GGUF with the same build of the CPU's code, the same threads, slots and context, and
// answer the same prompts; they take turns, and each figure is the median of the rounds' ratios.
//
// llama-server is built once, by -install, into the user's cache, from the sources of llama.cpp in the
// Python package llama-cpp-python, whose release is the one that the libraries are of. Its backend is not
// built: it loads the very library for the CPU that the engine loads.
//
// It imports actors/llamacpp/library and actors/llamacpp/tuning, which are pure Go, and no other room.
package main
