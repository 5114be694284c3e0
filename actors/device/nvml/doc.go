// Package nvml lists this machine's NVIDIA GPUs and MIG slices, how they are, how they reach each other
// and what the driver reports about them, through NVML.
//
// With cgo it links go-nvml, which opens the driver's library at run time; without cgo it says that it
// was built without. node/cmd/lotabots-engine calls it and nothing else may: the node's binary must not
// depend on cgo, nor on what the driver's library does to its process. It imports no package of the
// repository.
package nvml
