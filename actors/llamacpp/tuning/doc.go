// Package tuning chooses which of llama.cpp's builds for this processor, and how many threads, an engine
// uses: by a short measurement that is kept per machine. llama.cpp itself goes by what the processor can,
// and on some machines the newest instructions are two or three times slower than older ones.
//
// What was measured is kept in one file of the user's cache, by processor, cores, libraries and the class
// of the model's size. One process measures at a time; the others wait for what it finds.
//
// actors/llamacpp and node/cmd/lotabots-engine call it. It imports the standard library only.
package tuning
