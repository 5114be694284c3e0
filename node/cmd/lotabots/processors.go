package main

import (
	"os"
	"runtime"
)

// spareProcessors is how many more goroutines may run at a time than there are processors.
// What waits for a disk's sync, or has its thread put aside in a call of the system by whatever else
// runs on the machine, keeps one of these places until the runtime has noticed.
const spareProcessors = 2

// makeSpare gives the process those, unless somebody has said how many there are to be.
// From then on it does not follow a change of its container's limit.
func makeSpare() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareProcessors)
	}
}
