package device

import (
	"fmt"
	"sync"

	"github.com/lotabots/lotabots/cluster/spec"
)

// simulatedBoard is how many simulated devices reach each other by NVLink.
const simulatedBoard = 4

// simulated makes up the devices that were asked for, as boards of four in a machine with one
// processor. Their names say what they are wherever they appear.
func simulated(c Config) []Device {
	devices := make([]Device, c.Simulated)
	for i := range devices {
		devices[i] = Device{
			ID: spec.DeviceID(fmt.Sprintf("gpu/sim-%s-%d", c.Node, i)), Kind: KindSimulated, Index: -1,
			Name: fmt.Sprintf("SIMULATED GPU %d", i), MemoryTotal: uint64(c.MemoryMB) << 20,
		}
	}
	for i := range devices {
		for j, to := range devices {
			by := LinkNUMA
			if i/simulatedBoard == j/simulatedBoard {
				by = LinkNVLink
			}
			if i != j {
				devices[i].Links = append(devices[i].Links, Link{To: to.ID, By: by})
			}
		}
	}
	return devices
}

// A Fault is what is pretended to be wrong with a simulated device. Its fields are those of the fault file.
type Fault struct {
	Health       string   `json:"health"`        // as the device's health is to read; empty: ok
	Xid          int      `json:"xid"`           // reported once, when it changes to this
	PID          int      `json:"pid"`           // of the process that the Xid is about; 0: not known
	ECC          uint64   `json:"ecc"`           // uncorrected memory errors
	Temperature  float64  `json:"temperature"`   // degrees Celsius
	Throttle     []string `json:"throttle"`      // what slows the device: thermal, power, ...
	MemoryOthers uint64   `json:"memory_others"` // bytes that processes of others use
	Gone         bool     `json:"gone"`          // the driver has lost the device
}

// apply makes a healthy reading of the device one with the fault.
func (f Fault) apply(d Device, r *Reading) {
	if f.Health != "" {
		r.Health = f.Health
	}
	if f.Gone {
		r.Gone, r.Health = true, "lost: it is pretended to be gone"
	}
	r.ECC = ECC{Told: true, Uncorrected: f.ECC, UncorrectedAggregate: f.ECC}
	r.TemperatureC, r.Throttle = f.Temperature, f.Throttle
	r.MemoryOthers = min(f.MemoryOthers, d.MemoryTotal)
	r.MemoryUsed = r.MemoryOthers
	r.MemoryFree = d.MemoryTotal - r.MemoryOthers
}

// Faults makes simulated devices ill at will. Its zero value has none. Any goroutine may use it.
type Faults struct {
	mu struct {
		sync.Mutex
		faults map[spec.DeviceID]Fault
	}
}

// Set makes the device's health read so, and everything else be well; Healthy heals it. It shows at the
// next reading.
func (f *Faults) Set(id spec.DeviceID, health string) { f.Inject(id, Fault{Health: health}) }

// Inject gives the device the fault in place of the one that it had. It shows at the next reading.
func (f *Faults) Inject(id spec.DeviceID, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.faults == nil {
		f.mu.faults = map[spec.DeviceID]Fault{}
	}
	f.mu.faults[id] = fault
}

// of is the fault of the device, if it was given one. A nil f has none.
func (f *Faults) of(id spec.DeviceID) (Fault, bool) {
	if f == nil {
		return Fault{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fault, ok := f.mu.faults[id]
	return fault, ok
}

// A pretender reads simulated devices. One goroutine uses it.
type pretender struct {
	c      Config
	file   faultFile
	xids   map[spec.DeviceID]int // reported last
	shares map[spec.DeviceID]float64
}

func newPretender(c Config) *pretender {
	return &pretender{c: c, file: faultFile{path: c.FaultFile, log: c.Log}, xids: map[spec.DeviceID]int{}, shares: map[spec.DeviceID]float64{}}
}

// look reads the fault file again.
func (p *pretender) look() { p.file.look() }

// read is the device's state, and what has happened to it since. What the process was told of a
// device goes before what the file says.
func (p *pretender) read(d Device) (Reading, []Event) {
	fault, ok := p.c.Faults.of(d.ID)
	if !ok {
		fault = p.file.faults[d.ID]
	}
	r := Reading{Health: Healthy}
	fault.apply(d, &r)
	p.shares[d.ID] = nextShare(p.shares[d.ID], r)
	r.Share = stepped(p.shares[d.ID])
	var events []Event
	if fault.Xid != p.xids[d.ID] {
		if p.xids[d.ID] = fault.Xid; fault.Xid != 0 {
			e := XidEvent(fault.Xid, fault.PID)
			e.Device = d.ID
			events = append(events, e)
		}
	}
	return r, events
}
