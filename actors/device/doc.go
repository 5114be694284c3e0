// Package device finds what this machine can run models on, and watches it: NVIDIA GPUs, the CPU, or
// simulated devices for trying a large cluster on a small machine.
//
// package actors calls it: Discover once at start, Watch for as long as the node runs. It never links
// NVML: the helper lotabots-engine reads the sensors in a process of its own and prints them line by
// line, so that a driver that hangs or crashes takes nothing with it. It may import no other room, and
// not actors/device/nvml either, which only the helper links.
//
// Not done: MIG slices, GPUs of other makers, and processes of others on a GPU are not told apart.
package device
