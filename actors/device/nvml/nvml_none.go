//go:build !cgo || !linux

package nvml

import (
	"context"
	"time"
)

// Compiled says whether this build can see GPUs.
const Compiled = false

// List cannot see GPUs in this build.
func List(func(Device) error) error { return ErrNotCompiled }

// Hold has no GPU to take memory on in this build.
func Hold(uint64) error { return ErrNotCompiled }

// Watch cannot see GPUs in this build.
func Watch(context.Context, time.Duration, Told) error { return ErrNotCompiled }
