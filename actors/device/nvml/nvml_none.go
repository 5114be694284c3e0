//go:build !cgo || !linux

package nvml

import (
	"context"
	"time"
)

// Compiled says whether this build can see GPUs.
const Compiled = false

// List cannot see GPUs in this build.
func List(context.Context, bool, time.Duration, func(Device) error) error { return ErrNotCompiled }
