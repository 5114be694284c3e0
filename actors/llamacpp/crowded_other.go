//go:build !linux

package llamacpp

import "time"

var started = time.Now()

// threadTime is not told here: a thread counts as one that never waits.
func threadTime() time.Duration { return time.Since(started) }
