//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Compiled says whether this build can see GPUs.
const Compiled = true

// List gives each GPU to show, once or at each interval until ctx ends. A machine without NVML has no
// GPUs, which is no error.
func List(ctx context.Context, watch bool, every time.Duration, show func(Device) error) (err error) {
	// any call before a successful Init aborts the process
	switch code := nvml.Init(); code {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND, nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_NO_PERMISSION:
		return nil
	default:
		return fmt.Errorf("start NVML: %s", nvml.ErrorString(code))
	}
	defer func() {
		if code := nvml.Shutdown(); code != nvml.SUCCESS {
			err = errors.Join(err, fmt.Errorf("stop NVML: %s", nvml.ErrorString(code)))
		}
	}()
	for {
		if err := listOnce(show); err != nil || !watch {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}

func listOnce(show func(Device) error) error {
	count, code := nvml.DeviceGetCount()
	if code != nvml.SUCCESS {
		return fmt.Errorf("count GPUs: %s", nvml.ErrorString(code))
	}
	for i := range count {
		handle, code := nvml.DeviceGetHandleByIndex(i)
		if code != nvml.SUCCESS { // one lost GPU must not hide the others
			if err := show(Device{Utilisation: -1, Health: Lost, Name: fmt.Sprintf("GPU %d", i)}); err != nil {
				return err
			}
			continue
		}
		if err := show(read(handle)); err != nil {
			return err
		}
	}
	return nil
}

// gpu is the part of nvml.Device that read needs.
type gpu interface {
	GetUUID() (string, nvml.Return)
	GetName() (string, nvml.Return)
	GetMemoryInfo() (nvml.Memory, nvml.Return)
	GetUtilizationRates() (nvml.Utilization, nvml.Return)
	GetTotalEccErrors(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return)
}

func read(h gpu) Device {
	d := Device{Utilisation: -1, Health: OK}
	var code nvml.Return
	if d.UUID, code = h.GetUUID(); code != nvml.SUCCESS {
		d.Health = Lost
	}
	d.Name, _ = h.GetName()
	if m, code := h.GetMemoryInfo(); code == nvml.SUCCESS {
		d.MemoryTotal, d.MemoryFree = m.Total, m.Free
	} else if code == nvml.ERROR_GPU_IS_LOST {
		d.Health = Lost
	}
	if u, code := h.GetUtilizationRates(); code == nvml.SUCCESS {
		d.Utilisation = float64(u.Gpu) / 100
	}
	// not supported on GPUs without ECC
	if n, code := h.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC); code == nvml.SUCCESS && n > 0 && d.Health == OK {
		d.Health = Degraded
	}
	return d
}
