// Command engine measures the embedded engine next to llama.cpp's own server: `make bench-engine`. Both
// serve the same GGUF with the same threads, slots and context, and answer the same prompts; they take turns,
// and each figure is the median of the rounds' ratios.
//
// llama-server is built once, by -install, into the user's cache, from the sources of llama.cpp in the
// Python package llama-cpp-python, which is of the libraries' release, a little later. It is
// built for AVX2 without OpenMP, as the libraries' variant haswell is. llama-cpp-python's own server answers
// one request at a time, and is no comparison.
//
// It imports actors/llamacpp/library and actors/llamacpp/tuning, which are pure Go, and no other room.
package main
