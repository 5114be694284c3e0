package device

// Healthy is a Reading's Health when nothing is wrong.
const Healthy = "ok"

// A Reading is a device's state at one moment. What the device does not tell is 0 or empty.
type Reading struct {
	MemoryFree  uint64 // bytes, whoever uses the rest
	Utilisation uint32 // percent
	Health      string // Healthy, or why it should get no work

	// Gone: the driver has lost the device. Nothing that ran on it runs any more.
	Gone bool

	MemoryUsed   uint64 // bytes, by anybody
	MemoryOthers uint64 // bytes of it that processes use which are not ours; see Foreign
	TemperatureC float64
	PowerW       float64
	PowerLimitW  float64
	ClockMHz     uint32 // of a GPU's multiprocessors
	ClockMaxMHz  uint32
	Throttle     []string // what slows the clocks: ThrottleThermal, ...
	ECC          ECC
	Rows         Rows
	Recovery     string // what the driver asks for to mend the device: reset or reboot; empty: nothing
	Processes    []Process
	// Share is how much of its usual work the device should get, above 0 and at most 1. 0: not told, all of it.
	Share float64
	// Load is how many tasks of the whole machine compute or wait to, for each of its processors, over a minute or so. 0: not told.
	Load float64
}

// What slows a GPU's clocks.
const (
	ThrottleThermal  = "thermal"
	ThrottleBrake    = "power_brake" // the power supply has asked for it
	ThrottleHardware = "hw_slowdown" // the board has, for one of these reasons or another
	ThrottlePower    = "power"       // its power limit is reached, as usual under load
	ThrottleSync     = "sync"
)

// ECC counts memory errors: since the driver was loaded, and since the card was made (aggregate).
type ECC struct {
	Told                                     bool // the device counts them
	Corrected, Uncorrected                   uint64
	CorrectedAggregate, UncorrectedAggregate uint64
}

// Rows is what became of damaged memory: remapped rows (since Ampere) or retired pages.
type Rows struct {
	Corrected, Uncorrected int // after which kind of error
	Pending                bool
	Failed                 bool
}

// A Process has memory on a device.
type Process struct {
	PID    int
	Memory uint64 // bytes; 0: not told
}

// Foreign is the memory of those processes that are not ours.
func (r Reading) Foreign(ours func(pid int) bool) (bytes uint64) {
	for _, p := range r.Processes {
		if !ours(p.PID) {
			bytes += p.Memory
		}
	}
	return bytes
}
