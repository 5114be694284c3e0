// Command lotabots is everything that an operator runs: a node, a gateway of its
// own, a cluster to try, and the client commands that speak to them.
//
// It is static. What links llama.cpp or NVML is in lotabots-engine beside it.
package main
