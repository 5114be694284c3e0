//go:build cgo && linux

package nvml

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// A machine is go-nvml's DGX A100, with what its mock leaves out. There is no GPU on the machines that
// run these tests.
type machine struct {
	*server.Server
	gpus    []*server.Device
	lacks   map[string]bool // functions that the driver's library does not have
	events  chan nvml.EventData
	failing nvml.Return // of waiting for events

	mu struct {
		sync.Mutex
		running, asked int
		registered     map[string]uint64
	}
}

func newMachine() *machine {
	m := &machine{Server: dgxa100.New(), lacks: map[string]bool{}, events: make(chan nvml.EventData, 10), failing: nvml.ERROR_TIMEOUT}
	m.mu.registered = map[string]uint64{}
	m.InitFunc = func() nvml.Return { return m.count(1) }
	m.ShutdownFunc = func() nvml.Return { return m.count(-1) }
	m.LookupSymbolFunc = func(s string) error {
		if m.lacks[s] {
			return errors.New("no such symbol")
		}
		return nil
	}
	m.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
		return &mock.EventSet{WaitFunc: m.wait, FreeFunc: func() nvml.Return { return nvml.SUCCESS }}, nvml.SUCCESS
	}
	for i, d := range m.Devices {
		gpu := d.(*server.Device)
		m.gpus = append(m.gpus, gpu)
		m.fill(i, gpu)
	}
	return m
}

func (m *machine) count(n int) nvml.Return {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.running += n
	return nvml.SUCCESS
}

func (m *machine) wait(ms uint32) (nvml.EventData, nvml.Return) {
	select {
	case e := <-m.events:
		return e, nvml.SUCCESS
	case <-time.After(min(time.Duration(ms)*time.Millisecond, 20*time.Millisecond)):
		return nvml.EventData{}, m.failing
	}
}

// fill gives the GPU what the mock does not: GPU i is at 40+i degrees. GPUs 0 to 3 have NVLink, the
// rest is apart by processors of four GPUs.
func (m *machine) fill(i int, d *server.Device) {
	d.MemoryInfo.Free, d.MemoryInfo.Used = d.MemoryInfo.Total-1000, 1000
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 25}, nvml.SUCCESS }
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return uint32(40 + i), nvml.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 312_500, nvml.SUCCESS }
	d.GetEnforcedPowerLimitFunc = func() (uint32, nvml.Return) { return 400_000, nvml.SUCCESS }
	d.GetClockInfoFunc = func(nvml.ClockType) (uint32, nvml.Return) { return 1100, nvml.SUCCESS }
	d.GetMaxClockInfoFunc = func(nvml.ClockType) (uint32, nvml.Return) { return 1410, nvml.SUCCESS }
	d.GetCurrentClocksEventReasonsFunc = func() (uint64, nvml.Return) { return nvml.ClocksEventReasonGpuIdle, nvml.SUCCESS }
	d.GetCurrentClocksThrottleReasonsFunc = func() (uint64, nvml.Return) { return nvml.ClocksThrottleReasonHwSlowdown, nvml.SUCCESS }
	d.GetFieldValuesFunc = func([]nvml.FieldValue) nvml.Return { return nvml.ERROR_NOT_SUPPORTED }
	d.GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) { return 0, nvml.SUCCESS }
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.SUCCESS }
	d.GetRetiredPagesFunc = func(c nvml.PageRetirementCause) ([]uint64, nvml.Return) {
		return make([]uint64, 2+int(c)), nvml.SUCCESS
	}
	d.GetRetiredPagesPendingStatusFunc = func() (nvml.EnableState, nvml.Return) { return nvml.FEATURE_ENABLED, nvml.SUCCESS }
	d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.asked++
		return []nvml.ProcessInfo{{Pid: 77, UsedGpuMemory: 900}, {Pid: 78, UsedGpuMemory: 1<<64 - 1}}, nvml.SUCCESS
	}
	d.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return nvml.EventTypeXidCriticalError | 1, nvml.SUCCESS }
	d.RegisterEventsFunc = func(kinds uint64, _ nvml.EventSet) nvml.Return {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.registered[d.UUID] = kinds
		return nvml.SUCCESS
	}
	d.GetP2PStatusFunc = func(to nvml.Device, _ nvml.GpuP2PCapsIndex) (nvml.GpuP2PStatus, nvml.Return) {
		if i < 4 && to.(*server.Device).Index < 4 {
			return nvml.P2P_STATUS_OK, nvml.SUCCESS
		}
		return nvml.P2P_STATUS_NOT_SUPPORTED, nvml.SUCCESS
	}
	d.GetTopologyCommonAncestorFunc = func(to nvml.Device) (nvml.GpuTopologyLevel, nvml.Return) {
		switch j := to.(*server.Device).Index; {
		case i/2 == j/2:
			return nvml.TOPOLOGY_SINGLE, nvml.SUCCESS
		case i/4 == j/4:
			return nvml.TOPOLOGY_NODE, nvml.SUCCESS
		}
		return nvml.TOPOLOGY_SYSTEM, nvml.SUCCESS
	}
}

// cut puts the GPU into MIG mode with two slices, numbers 1 and 2 of its GPU instances.
func (m *machine) cut(i int) {
	d := m.gpus[i]
	d.MigMode = nvml.DEVICE_MIG_ENABLE
	d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	d.GetMigDeviceHandleByIndexFunc = func(n int) (nvml.Device, nvml.Return) {
		if n != 0 && n != 3 {
			return nil, nvml.ERROR_NOT_FOUND
		}
		slice := 1 + n/3
		return &mock.Device{
			GetUUIDFunc: func() (string, nvml.Return) {
				return []string{"", "MIG-one", "MIG-two"}[slice], nvml.SUCCESS
			},
			GetNameFunc:          func() (string, nvml.Return) { return d.Config.Name + " MIG 3g.20gb", nvml.SUCCESS },
			GetMemoryInfoFunc:    func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 20 << 30, Free: 19 << 30}, nvml.SUCCESS },
			GetGpuInstanceIdFunc: func() (int, nvml.Return) { return slice, nvml.SUCCESS },
			GetComputeRunningProcessesFunc: func() ([]nvml.ProcessInfo, nvml.Return) {
				return []nvml.ProcessInfo{{Pid: uint32(100 + slice), UsedGpuMemory: 1 << 30}}, nvml.SUCCESS
			},
		}, nvml.SUCCESS
	}
}

// recommends has the driver ask for something to be done about the GPU.
func recommends(d *server.Device, action nvml.DeviceGpuRecoveryAction) {
	d.GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return {
		binary.NativeEndian.PutUint32(v[0].Value[:], uint32(action))
		return nvml.SUCCESS
	}
}
