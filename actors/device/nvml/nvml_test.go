//go:build cgo && linux

package nvml

import (
	"context"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// reading is what a GPU answered; there is none on the machines that run this test.
type reading struct {
	uuid, memory, utilisation, ecc nvml.Return
	errors                         uint64
}

func (r reading) GetUUID() (string, nvml.Return) { return "GPU-1", r.uuid }
func (r reading) GetName() (string, nvml.Return) { return "H200", nvml.SUCCESS }
func (r reading) GetMemoryInfo() (nvml.Memory, nvml.Return) {
	return nvml.Memory{Total: 100, Free: 40}, r.memory
}
func (r reading) GetUtilizationRates() (nvml.Utilization, nvml.Return) {
	return nvml.Utilization{Gpu: 25}, r.utilisation
}
func (r reading) GetTotalEccErrors(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) {
	return r.errors, r.ecc
}

func TestRead(t *testing.T) {
	full := Device{UUID: "GPU-1", Name: "H200", MemoryTotal: 100, MemoryFree: 40, Utilisation: 0.25, Health: OK}
	for name, c := range map[string]struct {
		from reading
		want func(*Device)
	}{
		"all is well":    {reading{}, func(*Device) {}},
		"no ECC":         {reading{ecc: nvml.ERROR_NOT_SUPPORTED, errors: 9}, func(*Device) {}},
		"memory errors":  {reading{errors: 1}, func(d *Device) { d.Health = Degraded }},
		"no utilisation": {reading{utilisation: nvml.ERROR_NOT_SUPPORTED}, func(d *Device) { d.Utilisation = -1 }},
		"lost": {reading{memory: nvml.ERROR_GPU_IS_LOST, errors: 1}, func(d *Device) {
			d.Health, d.MemoryTotal, d.MemoryFree = Lost, 0, 0
		}},
		"mute": {reading{uuid: nvml.ERROR_UNKNOWN}, func(d *Device) { d.Health = Lost }},
	} {
		want := full
		c.want(&want)
		if got := read(c.from); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// With NVML or without, a listing ends without an error, and each GPU it shows has a name.
func TestListHere(t *testing.T) {
	n := 0
	err := List(context.Background(), false, time.Second, func(d Device) error {
		if n++; d.Name == "" {
			t.Errorf("GPU %d has no name: %+v", n, d)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d GPUs", n)
}
