// Package library finds llama.cpp's shared libraries on this machine, and installs a pinned build of
// them from an npm package, checked against its digest, into the user's cache.
//
// actors/llamacpp and node/cmd/lotabots-engine call it. It imports cluster/spec and the standard
// library only: nothing here loads what it finds.
package library
