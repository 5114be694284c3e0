//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func (m *machine) list(t *testing.T) (all []Device) {
	t.Helper()
	err := with(m, func(s *session) error {
		return s.list(func(d Device) error { all = append(all, d); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.mu.running != 0 {
		t.Error("NVML was not shut down")
	}
	return all
}

func TestList(t *testing.T) {
	m := newMachine()
	all := m.list(t)
	if len(all) != 8 {
		t.Fatalf("%d GPUs", len(all))
	}
	d := m.gpus[5]
	want := Device{
		UUID: d.UUID, Name: d.Config.Name, MemoryTotal: d.MemoryInfo.Total, MemoryFree: d.MemoryInfo.Total - 1000, Utilisation: 0.25, Health: OK,
		Driver: "550.54.15", CUDA: "12.4", Links: []Link{{m.gpus[4].UUID, "pcie"}, {m.gpus[6].UUID, "numa"}, {m.gpus[7].UUID, "numa"}},
		TemperatureC: 45, PowerW: 312.5, PowerLimitW: 400, ClockMHz: 1100, ClockMaxMHz: 1410, ECC: &ECC{}, Rows: &Rows{},
		Processes: []Process{{PID: 77, Memory: 900}, {PID: 78}},
	}
	if got := all[5]; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := all[0].Links; len(got) != 3 || got[0] != (Link{m.gpus[1].UUID, "nvlink"}) {
		t.Errorf("GPU 0 reaches %+v", got)
	}
}

func TestListOfSlices(t *testing.T) {
	m := newMachine()
	m.cut(1)
	m.gpus[2].MigMode = nvml.DEVICE_MIG_ENABLE // without a slice: nothing can run there
	m.gpus[2].GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	m.gpus[2].GetMigDeviceHandleByIndexFunc = func(int) (nvml.Device, nvml.Return) { return nil, nvml.ERROR_NOT_FOUND }
	all := m.list(t)
	if len(all) != 8 || all[1].UUID != "MIG-one" || all[2].UUID != "MIG-two" {
		t.Fatalf("%+v", all)
	}
	got := all[2]
	want := Device{
		UUID: "MIG-two", Parent: m.gpus[1].UUID, Name: m.gpus[1].Config.Name + " MIG 3g.20gb", MemoryTotal: 20 << 30, MemoryFree: 19 << 30,
		Utilisation: -1, Health: OK, Driver: "550.54.15", CUDA: "12.4", TemperatureC: 41, PowerW: 312.5, PowerLimitW: 400, ClockMHz: 1100, ClockMaxMHz: 1410,
		ECC: &ECC{}, Rows: &Rows{}, Processes: []Process{{PID: 102, Memory: 1 << 30}}, Links: got.Links,
	}
	if !reflect.DeepEqual(got, want) || len(got.Links) != 2 || got.Links[0].To != m.gpus[0].UUID {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadings(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(m *machine)
		want func(d *Device)
	}{
		"no ECC": {func(m *machine) {
			m.gpus[0].GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) {
				return 9, nvml.ERROR_NOT_SUPPORTED
			}
		}, func(d *Device) { d.ECC = nil }},
		"memory errors": {func(m *machine) {
			m.gpus[0].GetTotalEccErrorsFunc = func(k nvml.MemoryErrorType, c nvml.EccCounterType) (uint64, nvml.Return) {
				return 1 + uint64(k) + 2*uint64(c), nvml.SUCCESS
			}
		}, func(d *Device) {
			d.Health, d.ECC = Degraded, &ECC{Corrected: 1, Uncorrected: 2, CorrectedAggregate: 3, UncorrectedAggregate: 4}
		}},
		"a row to replace": {func(m *machine) {
			m.gpus[0].GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 1, 2, true, false, nvml.SUCCESS }
		}, func(d *Device) { d.Rows = &Rows{Corrected: 1, Uncorrected: 2, Pending: true} }},
		"a GPU that retires pages": {func(m *machine) {
			m.gpus[0].GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.ERROR_NOT_SUPPORTED }
		}, func(d *Device) { d.Rows = &Rows{Corrected: 2, Uncorrected: 3, Pending: true} }},
		"a driver that retires pages": {func(m *machine) {
			m.lacks["nvmlDeviceGetRemappedRows"] = true
			m.gpus[0].GetRemappedRowsFunc = nil // would end the process
		}, func(d *Device) { d.Rows = &Rows{Corrected: 2, Uncorrected: 3, Pending: true} }},
		"an old driver": {func(m *machine) {
			m.lacks["nvmlDeviceGetCurrentClocksEventReasons"], m.lacks["nvmlDeviceGetFieldValues"] = true, true
			m.gpus[0].GetCurrentClocksEventReasonsFunc, m.gpus[0].GetFieldValuesFunc = nil, nil
		}, func(d *Device) { d.Throttle = []string{"hw_slowdown"} }},
		"hot": {func(m *machine) {
			m.gpus[0].GetCurrentClocksEventReasonsFunc = func() (uint64, nvml.Return) {
				return nvml.ClocksThrottleReasonHwSlowdown | nvml.ClocksThrottleReasonHwThermalSlowdown | nvml.ClocksEventReasonSwPowerCap, nvml.SUCCESS
			}
		}, func(d *Device) { d.Throttle = []string{"thermal", "hw_slowdown", "power"} }},
		"asks for a reset":    {func(m *machine) { recommends(m.gpus[0], nvml.GPU_RECOVERY_ACTION_DRAIN_AND_RESET) }, func(d *Device) { d.Recovery = "reset" }},
		"asks for a reboot":   {func(m *machine) { recommends(m.gpus[0], nvml.GPU_RECOVERY_ACTION_NODE_REBOOT) }, func(d *Device) { d.Recovery = "reboot" }},
		"asks for nothing":    {func(m *machine) { recommends(m.gpus[0], nvml.GPU_RECOVERY_ACTION_NONE) }, func(*Device) {}},
		"asks about its peer": {func(m *machine) { recommends(m.gpus[0], nvml.GPU_RECOVERY_ACTION_DRAIN_P2P) }, func(*Device) {}},
		"no utilisation": {func(m *machine) {
			m.gpus[0].GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_NOT_SUPPORTED }
		}, func(d *Device) { d.Utilisation = -1 }},
		"may not see processes": {func(m *machine) {
			m.gpus[0].GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.ERROR_NO_PERMISSION }
		}, func(d *Device) { d.Processes = nil }},
		"lost": {func(m *machine) {
			m.gpus[0].GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
		}, func(d *Device) {
			*d = Device{UUID: d.UUID, Name: d.Name, Utilisation: -1, Health: Lost, Driver: d.Driver, CUDA: d.CUDA, Links: d.Links}
		}},
		"mute": {func(m *machine) {
			m.gpus[0].GetUUIDFunc = func() (string, nvml.Return) { return "", nvml.ERROR_UNKNOWN }
		}, func(d *Device) { d.UUID, d.Health, d.Links = "", Mute, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine()
			want := m.list(t)[0]
			c.set(m)
			c.want(&want)
			if got := m.list(t)[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// heard collects what Watch tells.
type heard struct {
	sync.Mutex
	devices  []Device
	events   []Event
	watching [][]string
	why      error
}

func (h *heard) told() Told {
	return Told{
		Device: func(d Device) error { h.Lock(); defer h.Unlock(); h.devices = append(h.devices, d); return nil },
		Event:  func(e Event) error { h.Lock(); defer h.Unlock(); h.events = append(h.events, e); return nil },
		Watching: func(u []string, why error) error {
			h.Lock()
			defer h.Unlock()
			h.watching, h.why = append(h.watching, u), why
			return nil
		},
	}
}

// watch runs until ok is content with what was heard.
func (m *machine) watch(t *testing.T, h *heard, ok func(*heard) bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- with(m, func(s *session) error { return s.watch(ctx, 5*time.Millisecond, h.told()) })
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		h.Lock()
		enough := ok(h)
		h.Unlock()
		if enough {
			return
		}
	}
	t.Errorf("after 20 s: %d readings, %+v, %+v, %v", len(h.devices), h.events, h.watching, h.why)
}

func TestWatch(t *testing.T) {
	m, h := newMachine(), &heard{}
	m.cut(1)
	m.events <- nvml.EventData{Device: m.gpus[0], EventType: nvml.EventTypeXidCriticalError, EventData: 31, GpuInstanceId: noInstance}
	m.events <- nvml.EventData{Device: m.gpus[1], EventType: nvml.EventTypeXidCriticalError, EventData: 13, GpuInstanceId: 2}
	m.events <- nvml.EventData{Device: m.gpus[1], EventType: nvml.EventTypeXidCriticalError, EventData: 79, GpuInstanceId: noInstance}
	m.events <- nvml.EventData{Device: m.gpus[0], EventType: 1, EventData: 5} // not an Xid
	m.events <- nvml.EventData{EventType: nvml.EventTypeXidCriticalError, EventData: 5}
	m.watch(t, h, func(h *heard) bool { return len(h.devices) > 50 && len(h.events) >= 4 })
	want := []Event{{UUID: m.gpus[0].UUID, Xid: 31}, {UUID: "MIG-two", Xid: 13}, {UUID: "MIG-one", Xid: 79}, {UUID: "MIG-two", Xid: 79}}
	if !slices.Equal(h.events, want) {
		t.Errorf("events %+v, want %+v", h.events, want)
	}
	if len(h.watching) != 1 || len(h.watching[0]) != 8 || h.why != nil {
		t.Errorf("watching %v, %v", h.watching, h.why)
	}
	for uuid, kinds := range m.mu.registered {
		if kinds != nvml.EventTypeXidCriticalError {
			t.Errorf("%s reports %x", uuid, kinds)
		}
	}
	if m.mu.asked > 14 { // two times seven GPUs, should the test have taken ten seconds
		t.Errorf("processes were asked for %d times", m.mu.asked)
	}
	last := h.devices[len(h.devices)-1]
	if len(last.Processes) == 0 || last.Driver != "" || last.Links != nil {
		t.Errorf("a reading is %+v", last)
	}
}

// A GPU that is lost while it is watched keeps its name.
func TestWatchLosesAGPU(t *testing.T) {
	m, h := newMachine(), &heard{}
	m.failing = nvml.ERROR_GPU_IS_LOST
	var lost sync.Map
	byIndex := m.DeviceGetHandleByIndexFunc
	m.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if code, is := lost.Load(i); is {
			return nil, code.(nvml.Return)
		}
		return byIndex(i)
	}
	m.watch(t, h, func(h *heard) bool {
		if len(h.devices) >= 8 {
			lost.Store(3, nvml.ERROR_GPU_IS_LOST)
			lost.Store(4, nvml.ERROR_UNKNOWN)
		}
		return len(h.devices) > 16 && h.devices[len(h.devices)-1].Health == OK &&
			slices.ContainsFunc(h.devices, func(d Device) bool { return d.UUID == m.gpus[3].UUID && d.Health == Lost && d.Name == "GPU 3" }) &&
			slices.ContainsFunc(h.devices, func(d Device) bool { return d.UUID == m.gpus[4].UUID && d.Health == Mute })
	})
}

func TestWatchWithoutEvents(t *testing.T) {
	m, h := newMachine(), &heard{}
	for _, d := range m.gpus[:7] {
		d.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return 1, nvml.SUCCESS }
	}
	m.gpus[7].RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.ERROR_NO_PERMISSION }
	m.watch(t, h, func(h *heard) bool { return len(h.devices) > 8 && len(h.watching) == 1 })
	if len(h.watching[0]) != 0 || h.why == nil || !strings.Contains(h.why.Error(), m.gpus[7].UUID) {
		t.Errorf("%v, %v", h.watching, h.why)
	}
	m, h = newMachine(), &heard{}
	m.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return nil, nvml.ERROR_UNKNOWN }
	m.watch(t, h, func(h *heard) bool { return len(h.devices) > 8 && len(h.watching) == 1 && h.why != nil })
}

// Whoever does not listen ends it.
func TestWatchEndsWithItsListener(t *testing.T) {
	m, h := newMachine(), &heard{}
	gone, told := errors.New("gone"), h.told()
	told.Event = func(Event) error { return gone }
	m.events <- nvml.EventData{Device: m.gpus[0], EventType: nvml.EventTypeXidCriticalError, EventData: 31}
	if err := with(m, func(s *session) error { return s.watch(t.Context(), time.Hour, told) }); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

func TestWithoutNVML(t *testing.T) {
	for code, ok := range map[nvml.Return]bool{nvml.ERROR_LIBRARY_NOT_FOUND: true, nvml.ERROR_DRIVER_NOT_LOADED: true, nvml.ERROR_UNKNOWN: false} {
		m := newMachine()
		m.InitFunc = func() nvml.Return { return code }
		err := with(m, func(*session) error { t.Error("NVML is used without Init"); return nil })
		if (err == nil) != ok {
			t.Errorf("%v: %v", code, err)
		}
	}
}

// With NVML or without, a listing ends without an error, and each GPU it shows has a name.
func TestListHere(t *testing.T) {
	n := 0
	err := List(func(d Device) error {
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
