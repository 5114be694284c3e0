//go:build cgo && linux

package nvml

import (
	"encoding/binary"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// read is the device's state. What it does not tell stays empty: which GPU tells what differs by
// model, driver and permission. fresh asks for its processes too.
func (s *session) read(f found, fresh bool) Device {
	d := Device{UUID: f.uuid, Utilisation: -1, Health: f.health, Name: fmt.Sprintf("GPU %d", f.index)}
	if f.handle == nil {
		return d
	}
	if n, code := f.handle.GetName(); code == nvml.SUCCESS {
		d.Name = n
	}
	if m, code := f.handle.GetMemoryInfo(); code == nvml.SUCCESS {
		d.MemoryTotal, d.MemoryFree = m.Total, min(m.Free, m.Total)
	} else if code == nvml.ERROR_GPU_IS_LOST {
		d.Health = Lost
		return d
	}
	if f.parent == "" { // the driver does not tell it of slices
		if u, code := f.handle.GetUtilizationRates(); code == nvml.SUCCESS {
			d.Utilisation = float64(u.Gpu) / 100
		}
	}
	s.readBoard(f.gpu, &d)
	s.readMemoryErrors(f.gpu, &d)
	d.Processes = s.running(f, fresh)
	return d
}

// readBoard reads what belongs to the whole board, also where d is a slice of it.
func (s *session) readBoard(gpu nvml.Device, d *Device) {
	if v, code := gpu.GetTemperature(nvml.TEMPERATURE_GPU); code == nvml.SUCCESS {
		d.TemperatureC = float64(v)
	}
	if mw, code := gpu.GetPowerUsage(); code == nvml.SUCCESS {
		d.PowerW = float64(mw) / 1000
	}
	if mw, code := gpu.GetEnforcedPowerLimit(); code == nvml.SUCCESS {
		d.PowerLimitW = float64(mw) / 1000
	}
	if v, code := gpu.GetClockInfo(nvml.CLOCK_SM); code == nvml.SUCCESS {
		d.ClockMHz = v
	}
	if v, code := gpu.GetMaxClockInfo(nvml.CLOCK_SM); code == nvml.SUCCESS {
		d.ClockMaxMHz = v
	}
	if bits, code := s.slowdowns(gpu); code == nvml.SUCCESS {
		d.Throttle = throttle(bits)
	}
	if s.has("nvmlDeviceGetFieldValues") {
		d.Recovery = recovery(gpu)
	}
}

// slowdowns reads why the clocks are low. The function has a new name since driver 535.
func (s *session) slowdowns(gpu nvml.Device) (uint64, nvml.Return) {
	if s.has("nvmlDeviceGetCurrentClocksEventReasons") {
		return gpu.GetCurrentClocksEventReasons()
	}
	return gpu.GetCurrentClocksThrottleReasons() //nolint:staticcheck // all that older drivers have
}

// throttle names the reasons that cost speed. An idle GPU and clocks that somebody has set are none.
func throttle(bits uint64) (reasons []string) {
	for _, r := range []struct {
		bits uint64
		name string
	}{
		{nvml.ClocksEventReasonSwThermalSlowdown | nvml.ClocksThrottleReasonHwThermalSlowdown, "thermal"},
		{nvml.ClocksThrottleReasonHwPowerBrakeSlowdown, "power_brake"},
		{nvml.ClocksThrottleReasonHwSlowdown, "hw_slowdown"},
		{nvml.ClocksEventReasonSwPowerCap, "power"},
		{nvml.ClocksEventReasonSyncBoost, "sync"},
	} {
		if bits&r.bits != 0 {
			reasons = append(reasons, r.name)
		}
	}
	return reasons
}

// recovery is what the driver asks for to mend the GPU, as newer ones tell it.
func recovery(gpu nvml.Device) string {
	values := []nvml.FieldValue{{FieldId: nvml.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	if code := gpu.GetFieldValues(values); code != nvml.SUCCESS || nvml.Return(values[0].NvmlReturn) != nvml.SUCCESS {
		return ""
	}
	switch action := nvml.DeviceGpuRecoveryAction(binary.NativeEndian.Uint32(values[0].Value[:])); action {
	case nvml.GPU_RECOVERY_ACTION_GPU_RESET, nvml.GPU_RECOVERY_ACTION_DRAIN_AND_RESET, nvml.GPU_RECOVERY_ACTION_BUS_RESET:
		return "reset"
	case nvml.GPU_RECOVERY_ACTION_NODE_REBOOT, nvml.GPU_RECOVERY_ACTION_SYSTEM_REBOOT:
		return "reboot"
	}
	return "" // nothing, or what concerns links between machines
}

// readMemoryErrors reads the counts of memory errors; GPUs without ECC have none.
func (s *session) readMemoryErrors(gpu nvml.Device, d *Device) {
	count := func(t nvml.MemoryErrorType, c nvml.EccCounterType) (uint64, bool) {
		n, code := gpu.GetTotalEccErrors(t, c)
		return n, code == nvml.SUCCESS
	}
	var e ECC
	uncorrected, told := count(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC)
	if told {
		e.Uncorrected = uncorrected
		e.Corrected, _ = count(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.VOLATILE_ECC)
		e.UncorrectedAggregate, _ = count(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.AGGREGATE_ECC)
		e.CorrectedAggregate, _ = count(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.AGGREGATE_ECC)
		d.ECC = &e
	}
	if e.Uncorrected > 0 && d.Health == OK {
		d.Health = Degraded
	}
	if s.has("nvmlDeviceGetRemappedRows") {
		if corrected, uncorrected, pending, failed, code := gpu.GetRemappedRows(); code == nvml.SUCCESS {
			d.Rows = &Rows{Corrected: corrected, Uncorrected: uncorrected, Pending: pending, Failed: failed}
			return
		}
	}
	d.Rows = retired(gpu)
}

// retired reads what GPUs before Ampere have instead of remapped rows.
func retired(gpu nvml.Device) *Rows {
	single, code := gpu.GetRetiredPages(nvml.PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS)
	if code != nvml.SUCCESS {
		return nil
	}
	double, _ := gpu.GetRetiredPages(nvml.PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR)
	pending, code := gpu.GetRetiredPagesPendingStatus()
	return &Rows{Corrected: len(single), Uncorrected: len(double), Pending: code == nvml.SUCCESS && pending == nvml.FEATURE_ENABLED}
}

// maxProcesses bounds a line.
const maxProcesses = 256

// running lists the processes with memory on the device: those of the last asking, unless fresh.
func (s *session) running(f found, fresh bool) []Process {
	if !fresh {
		return s.processes[f.uuid]
	}
	var all []Process
	infos, code := f.handle.GetComputeRunningProcesses()
	if code != nvml.SUCCESS {
		infos = nil
	}
	for _, p := range infos[:min(len(infos), maxProcesses)] {
		used := p.UsedGpuMemory
		if used > beyondMemory { // "not available" is the highest number
			used = 0
		}
		all = append(all, Process{PID: p.Pid, Memory: used})
	}
	s.processes[f.uuid] = all
	return all
}

// beyondMemory is more than any GPU's memory.
const beyondMemory = 1 << 46
