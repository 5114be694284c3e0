package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A line is what lotabots-engine devices prints of one GPU or slice: the fields of
// actors/device/nvml.Device, which this package may not import. Lines about other things have one of
// the last two fields and no UUID. Fields that this build does not know are left aside.
type line struct {
	UUID        string  `json:"uuid"` // empty: the GPU did not even say that
	Name        string  `json:"name"`
	MemoryTotal uint64  `json:"memory_total"`
	MemoryFree  uint64  `json:"memory_free"`
	Utilisation float64 `json:"utilisation"`
	Health      string  `json:"health"`

	Parent string     `json:"parent"`
	Driver string     `json:"driver"`
	CUDA   string     `json:"cuda"`
	Links  []lineLink `json:"links"`

	TemperatureC float64       `json:"temperature_c"`
	PowerW       float64       `json:"power_w"`
	PowerLimitW  float64       `json:"power_limit_w"`
	ClockMHz     uint32        `json:"clock_mhz"`
	ClockMaxMHz  uint32        `json:"clock_max_mhz"`
	Throttle     []string      `json:"throttle"`
	ECC          *lineECC      `json:"ecc"`
	Rows         *Rows         `json:"rows"`
	Recovery     string        `json:"recovery"`
	Processes    []lineProcess `json:"processes"`

	Event    *lineEvent    `json:"event"`
	Watching *lineWatching `json:"watching"`
}

type (
	lineLink struct {
		To string `json:"to"`
		By string `json:"by"`
	}
	lineECC struct {
		Corrected            uint64 `json:"corrected"`
		Uncorrected          uint64 `json:"uncorrected"`
		CorrectedAggregate   uint64 `json:"corrected_aggregate"`
		UncorrectedAggregate uint64 `json:"uncorrected_aggregate"`
	}
	lineProcess struct {
		PID    uint32 `json:"pid"`
		Memory uint64 `json:"memory"`
	}
	lineEvent struct {
		UUID string `json:"uuid"`
		Xid  uint32 `json:"xid"`
		PID  uint32 `json:"pid"`
	}
	lineWatching struct {
		UUIDs []string `json:"uuids"`
		Why   string   `json:"why"` // others are not watched
	}
)

const (
	maxLine    = 64 << 10 // of the helper's; it bounds the lists in one too
	maxXid     = 1 << 16
	maxCelsius = 1000
	maxWatts   = 100_000
)

var (
	uuidForm    = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)
	wordForm    = regexp.MustCompile(`^[a-z_]{1,32}$`)
	versionForm = regexp.MustCompile(`^[0-9A-Za-z.-]{0,40}$`)
)

// parseLine reads and checks one line. It answers nothing that is out of range.
func parseLine(raw []byte) (line, error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return line{}, fmt.Errorf("a line about a GPU is no JSON: %w", err)
	}
	if err := l.check(); err != nil {
		return line{}, err
	}
	l.prune()
	return l, nil
}

func (l *line) check() error {
	switch e := l.Event; {
	case l.UUID != "" && !uuidForm.MatchString(l.UUID):
		return fmt.Errorf("a GPU has the unlikely UUID %.120q", l.UUID)
	case l.Parent != "" && !uuidForm.MatchString(l.Parent):
		return fmt.Errorf("slice %s is of a GPU with the unlikely UUID %.120q", l.UUID, l.Parent)
	case len(l.Name) > 200:
		return fmt.Errorf("the name of GPU %s has %d bytes", l.UUID, len(l.Name))
	case l.MemoryFree > l.MemoryTotal:
		return fmt.Errorf("GPU %s has more memory free than it has", l.UUID)
	case math.IsNaN(l.Utilisation) || l.Utilisation > 1 || l.Utilisation < 0 && l.Utilisation != -1:
		return fmt.Errorf("GPU %s is used by %g", l.UUID, l.Utilisation)
	case e != nil && (!uuidForm.MatchString(e.UUID) || e.Xid == 0 || e.Xid > maxXid || e.PID > math.MaxInt32):
		return errors.New("an event makes no sense")
	}
	return nil
}

// prune leaves aside what cannot be. Telemetry is worth less than what it comes with.
func (l *line) prune() {
	within := func(v *float64, most float64) {
		if *v < 0 || *v > most {
			*v = 0
		}
	}
	within(&l.TemperatureC, maxCelsius)
	within(&l.PowerW, maxWatts)
	within(&l.PowerLimitW, maxWatts)
	if !versionForm.MatchString(l.Driver) {
		l.Driver = ""
	}
	if !versionForm.MatchString(l.CUDA) {
		l.CUDA = ""
	}
	if l.Recovery != "reset" && l.Recovery != "reboot" {
		l.Recovery = ""
	}
	if l.Rows != nil {
		l.Rows.Corrected, l.Rows.Uncorrected = max(0, l.Rows.Corrected), max(0, l.Rows.Uncorrected)
	}
}

func (l *line) device(index int) Device {
	d := Device{
		ID: spec.DeviceID("gpu/" + l.UUID), Kind: KindNVIDIA, Name: l.Name, MemoryTotal: l.MemoryTotal, Index: index,
		UUID: l.UUID, Parent: l.Parent, Driver: l.Driver, CUDA: l.CUDA,
	}
	for _, k := range l.Links {
		if uuidForm.MatchString(k.To) && wordForm.MatchString(k.By) {
			d.Links = append(d.Links, Link{To: spec.DeviceID("gpu/" + k.To), By: k.By})
		}
	}
	return d
}

func (l *line) reading() Reading {
	r := Reading{
		MemoryFree: l.MemoryFree, MemoryUsed: l.MemoryTotal - l.MemoryFree, Utilisation: uint32(math.Round(100 * max(0, l.Utilisation))),
		TemperatureC: l.TemperatureC, PowerW: l.PowerW, PowerLimitW: l.PowerLimitW, ClockMHz: l.ClockMHz, ClockMaxMHz: l.ClockMaxMHz,
		Recovery: l.Recovery, Health: l.health(), Gone: l.Health == "lost",
	}
	if l.ECC != nil {
		r.ECC = ECC{Told: true, Corrected: l.ECC.Corrected, Uncorrected: l.ECC.Uncorrected,
			CorrectedAggregate: l.ECC.CorrectedAggregate, UncorrectedAggregate: l.ECC.UncorrectedAggregate}
	}
	if l.Rows != nil {
		r.Rows = *l.Rows
	}
	for _, t := range l.Throttle {
		if wordForm.MatchString(t) {
			r.Throttle = append(r.Throttle, t)
		}
	}
	for _, p := range l.Processes {
		if p.PID > 0 && p.PID <= math.MaxInt32 && p.Memory <= l.MemoryTotal {
			r.Processes = append(r.Processes, Process{PID: int(p.PID), Memory: p.Memory})
		}
	}
	return r
}

func (l *line) health() string {
	switch l.Health {
	case Healthy:
		return Healthy
	case "degraded":
		if l.ECC != nil { // whoever reads the counts knows which of them are no news: see Judge
			return Healthy
		}
		return "degraded: it reports uncorrected memory errors"
	case "lost":
		return "lost: it does not answer the driver"
	case "mute":
		return "mute: the driver does not say why it does not answer"
	default:
		return fmt.Sprintf("its health reads %.40q", l.Health)
	}
}
