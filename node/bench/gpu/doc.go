// Command gpu holds what LotaBots sees of this machine's NVIDIA GPUs against what is there:
// `make check-gpu`. It lists them, compares the readings with nvidia-smi's, asks whether the driver
// reports Xids, and takes memory on each GPU and sees it in the ledger of a node that it starts, and
// come back. Nothing else should change on the GPUs meanwhile.
//
// It needs bin/lotabots, bin/lotabots-engine built with cgo, the driver (nvidia-smi, libcuda) and
// a GiB of free memory on each GPU. It imports actors/device and node/client, and starts the node as
// a process. Without a GPU it says so and ends well.
package main
