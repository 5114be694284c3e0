package device

import (
	"fmt"
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
)

// simulated makes up the devices that were asked for. Their names say what they are wherever they appear.
func simulated(c Config) []Device {
	devices := make([]Device, c.Simulated)
	for i := range devices {
		devices[i] = Device{
			ID: spec.DeviceID(fmt.Sprintf("gpu/sim-%s-%d", c.Node, i)), Kind: KindSimulated, Index: -1,
			Name: fmt.Sprintf("SIMULATED GPU %d", i), MemoryTotal: uint64(c.MemoryMB) << 20,
		}
	}
	return devices
}

// Faults makes simulated devices ill at will. Its zero value has none. Any goroutine may use it.
type Faults struct {
	mu struct {
		sync.Mutex
		health map[spec.DeviceID]string
	}
}

// Set makes the device's health read so; Healthy heals it. It shows at the next reading.
func (f *Faults) Set(id spec.DeviceID, health string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.health == nil {
		f.mu.health = map[spec.DeviceID]string{}
	}
	f.mu.health[id] = health
}

// read is the simulated device's state. A nil f has no faults.
func (f *Faults) read(d Device) Reading {
	r := Reading{MemoryFree: d.MemoryTotal, Health: Healthy}
	if f == nil {
		return r
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.mu.health[d.ID]; h != "" {
		r.Health = h
	}
	return r
}
