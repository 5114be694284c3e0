package device

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A line is what lotabots-engine devices prints of one GPU: the fields of actors/device/nvml.Device,
// which this package may not import.
type line struct {
	UUID        string  `json:"uuid"` // empty: the GPU did not even say that
	Name        string  `json:"name"`
	MemoryTotal uint64  `json:"memory_total"`
	MemoryFree  uint64  `json:"memory_free"`
	Utilisation float64 `json:"utilisation"`
	Health      string  `json:"health"`
}

// maxLine bounds a line of the helper's.
const maxLine = 64 << 10

var uuidForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)

// parseLine reads and checks one line. It answers nothing that is out of range.
func parseLine(raw []byte) (line, error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return line{}, fmt.Errorf("a line about a GPU is no JSON: %w", err)
	}
	switch {
	case l.UUID != "" && !uuidForm.MatchString(l.UUID):
		return line{}, fmt.Errorf("a GPU has the unlikely UUID %.120q", l.UUID)
	case len(l.Name) > 200:
		return line{}, fmt.Errorf("the name of GPU %s has %d bytes", l.UUID, len(l.Name))
	case l.MemoryFree > l.MemoryTotal:
		return line{}, fmt.Errorf("GPU %s has more memory free than it has", l.UUID)
	case math.IsNaN(l.Utilisation) || l.Utilisation > 1 || l.Utilisation < 0 && l.Utilisation != -1:
		return line{}, fmt.Errorf("GPU %s is used by %g", l.UUID, l.Utilisation)
	}
	return l, nil
}

func (l line) device(index int) Device {
	return Device{
		ID: spec.DeviceID("gpu/" + l.UUID), Kind: KindNVIDIA, Name: l.Name,
		MemoryTotal: l.MemoryTotal, Index: index, UUID: l.UUID,
	}
}

func (l line) reading() Reading {
	r := Reading{MemoryFree: l.MemoryFree, Utilisation: uint32(math.Round(100 * max(0, l.Utilisation)))}
	switch l.Health {
	case Healthy:
		r.Health = Healthy
	case "degraded":
		r.Health = "degraded: it reports uncorrected memory errors"
	case "lost":
		r.Health = "lost: it does not answer the driver"
	default:
		r.Health = fmt.Sprintf("its health reads %.40q", l.Health)
	}
	return r
}
