// Package device finds what this machine can run models on, and watches it: NVIDIA GPUs, the CPU, or
// simulated devices for trying a large cluster on a small machine.
//
// package actors calls it: Discover once at start, Watch for as long as the node runs. It never links
// NVML: the helper lotabots-engine reads the sensors in a process of its own and prints them line by
// line, so that a driver that hangs or crashes takes nothing with it. It may import no other room, and
// not actors/device/nvml either, which only the helper links.
//
// A GPU in MIG mode is its slices: a process sees one of them, so nothing runs on the whole. What goes
// wrong is told as an Event: an Xid of the driver's by a table (KindOfXid), memory errors and the
// driver's own advice by a pure function of two readings (Judge). What follows is the GPU actor's to do.
//
// Not done: GPUs of other makers; slices that are made or removed while the node runs, which has to be
// started again; the process that an Xid is about, which NVML does not tell and only the kernel's log
// has; nothing here has run on a GPU.
package device
