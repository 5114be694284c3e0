// Command lotabots-engine is the node's helper: it serves one model by llama.cpp's libraries, installs
// those, and lists the GPUs that NVML sees. The node starts it; it runs by hand as well.
//
// It alone links libffi and, where it is built with cgo, NVML: what a C library breaks, it breaks here.
package main
