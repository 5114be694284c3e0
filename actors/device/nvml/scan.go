//go:build cgo && linux

package nvml

import (
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// A found is a GPU, or a MIG slice of one.
type found struct {
	handle nvml.Device // nil: it does not answer
	gpu    nvml.Device // the physical one; the same as handle unless this is a slice
	index  int         // of the physical GPU
	uuid   string
	parent string // of a slice
	slice  uint32 // GPU instance of a slice
	health Health
}

func (f found) physical() string {
	if f.parent != "" {
		return f.parent
	}
	return f.uuid
}

// scan lists what models can run on: a GPU in MIG mode is its slices.
func (s *session) scan() ([]found, error) {
	count, code := s.lib.DeviceGetCount()
	if code != nvml.SUCCESS {
		return nil, fmt.Errorf("count GPUs: %s", name(code))
	}
	var all []found
	for i := range count {
		f := found{index: i, uuid: s.known[i], health: Mute}
		handle, code := s.lib.DeviceGetHandleByIndex(i)
		if code != nvml.SUCCESS { // one lost GPU must not hide the others
			if code == nvml.ERROR_GPU_IS_LOST {
				f.health = Lost
			}
			all = append(all, f)
			continue
		}
		f.handle, f.gpu = handle, handle
		if uuid, code := handle.GetUUID(); code == nvml.SUCCESS {
			f.uuid, f.health, s.known[i] = uuid, OK, uuid
		} else if code == nvml.ERROR_GPU_IS_LOST {
			f.health = Lost
		}
		if mode, _, code := handle.GetMigMode(); code == nvml.SUCCESS && mode == nvml.DEVICE_MIG_ENABLE {
			all = append(all, slicesOf(f)...)
			continue
		}
		all = append(all, f)
	}
	return all, nil
}

// slicesOf lists the MIG slices of a GPU. One without slices has nothing that models could run on.
func slicesOf(of found) (all []found) {
	most, code := of.gpu.GetMaxMigDeviceCount()
	if code != nvml.SUCCESS {
		return nil
	}
	for i := range most {
		handle, code := of.gpu.GetMigDeviceHandleByIndex(i)
		if code != nvml.SUCCESS { // numbers have gaps
			continue
		}
		f := found{handle: handle, gpu: of.gpu, index: of.index, parent: of.uuid, health: of.health}
		if f.uuid, code = handle.GetUUID(); code != nvml.SUCCESS {
			continue
		}
		if id, code := handle.GetGpuInstanceId(); code == nvml.SUCCESS {
			f.slice = uint32(id)
		}
		all = append(all, f)
	}
	return all
}
