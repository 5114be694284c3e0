//go:build race

package node

// raceDetector: protoactor's remote sets a global of gRPC's logging at each start,
// without a lock, so that a second node in one process is always reported.
const raceDetector = true
