package device

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/lotabots/lotabots/cluster/spec"
)

// cpuDevice is the whole machine's CPU and memory, as far as the control groups and c let this process have them.
func cpuDevice(ctx context.Context, c Config) (Device, error) {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return Device{}, err
	}
	bound := readLimits(os.DirFS("/"))
	total := min(memory.Total, bound.memory)
	if c.MemoryMB > 0 {
		total = min(total, uint64(c.MemoryMB)<<20)
	}
	cores := min(float64(runtime.NumCPU()), bound.cores)
	return Device{
		ID: spec.DeviceID("cpu/" + string(c.Node)), Kind: KindCPU, Name: cpuName(ctx, cores), MemoryTotal: total, Index: -1,
	}, nil
}

func cpuName(ctx context.Context, cores float64) string {
	name := "CPU"
	if facts, err := cpu.InfoWithContext(ctx); err == nil && len(facts) > 0 && facts[0].ModelName != "" {
		name = strings.Join(strings.Fields(facts[0].ModelName), " ")
	}
	plural := "s"
	if cores == 1 {
		plural = ""
	}
	return fmt.Sprintf("%s, %s core%s", name, strings.TrimSuffix(fmt.Sprintf("%.1f", cores), ".0"), plural)
}

// A cpuMeter reads the CPU device; what the processors did is counted between two readings.
type cpuMeter struct {
	busy, all float64 // seconds, as of the last reading
	known     bool
}

func (m *cpuMeter) read(ctx context.Context, d Device) Reading {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return Reading{Health: "its memory cannot be read: " + err.Error()}
	}
	free := min(memory.Available, readLimits(os.DirFS("/")).free, d.MemoryTotal)
	return Reading{MemoryFree: free, MemoryUsed: d.MemoryTotal - free, Utilisation: m.utilisation(ctx), Health: Healthy}
}

// utilisation is of the whole machine, others' work included; 0 at the first reading.
func (m *cpuMeter) utilisation(ctx context.Context) uint32 {
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(times) == 0 {
		return 0
	}
	t := times[0]
	// guests' time is in user's already
	busy := t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal
	all := busy + t.Idle + t.Iowait
	did, took := busy-m.busy, all-m.all
	known := m.known
	m.busy, m.all, m.known = busy, all, true
	if !known || took <= 0 {
		return 0
	}
	return uint32(math.Round(100 * max(0, min(1, did/took))))
}
