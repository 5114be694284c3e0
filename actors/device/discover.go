package device

import (
	"context"
	"fmt"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Discover lists the devices that c asks for, in an order that stays. KindAuto finds at least the CPU;
// KindNVIDIA finds at least one GPU or says what is missing.
func Discover(ctx context.Context, c Config) ([]Device, error) {
	c = c.withDefaults()
	if c.FaultFile != "" && c.Kind != KindSimulated {
		return nil, spec.Errorf(spec.CodeInvalidRequest, "devices of kind %s have faults of their own: devices.fault-file needs devices.kind simulated", c.Kind)
	}
	switch c.Kind {
	case KindNone:
		return nil, nil
	case KindSimulated:
		if c.Simulated < 1 || c.MemoryMB < 1 {
			return nil, spec.Errorf(spec.CodeInvalidRequest, "simulated devices need a number and a memory above zero")
		}
		return simulated(c), nil
	case KindCPU:
		return one(cpuDevice(ctx, c))
	case KindNVIDIA:
		return nvidia(ctx, c)
	case KindAuto:
		gpus, err := nvidia(ctx, c)
		if err == nil {
			return gpus, nil
		}
		c.Log.Info("no GPU is used; models run on the CPU", "reason", err)
		return one(cpuDevice(ctx, c))
	}
	return nil, spec.Errorf(spec.CodeInvalidRequest, "devices are of kind %q; it must be auto, nvidia, cpu, simulated or none", c.Kind)
}

func one(d Device, err error) ([]Device, error) {
	if err != nil {
		return nil, fmt.Errorf("find the CPU: %w", err)
	}
	return []Device{d}, nil
}
