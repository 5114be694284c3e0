package device

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/device/nvml"
)

// What the helper's package prints is what this one reads.
func TestLineIsTheHelpers(t *testing.T) {
	l := helperLine(t, nvml.Device{
		UUID: "MIG-8f3c", Name: "NVIDIA H200 MIG 1g.18gb", MemoryTotal: 100, MemoryFree: 40, Utilisation: 0.25, Health: nvml.Degraded,
		Parent: "GPU-1", Driver: "570.86.15", CUDA: "12.8", Links: []nvml.Link{{To: "GPU-2", By: "nvlink"}},
		TemperatureC: 71, PowerW: 512.5, PowerLimitW: 700, ClockMHz: 1500, ClockMaxMHz: 1980, Throttle: []string{"power", "thermal"},
		ECC:  &nvml.ECC{Corrected: 1, Uncorrected: 2, CorrectedAggregate: 3, UncorrectedAggregate: 4},
		Rows: &nvml.Rows{Corrected: 5, Uncorrected: 6, Pending: true, Failed: true}, Recovery: "reset",
		Processes: []nvml.Process{{PID: 77, Memory: 60}},
	})
	wantDevice := Device{ID: "gpu/MIG-8f3c", Kind: KindNVIDIA, Name: "NVIDIA H200 MIG 1g.18gb", MemoryTotal: 100, Index: 3, UUID: "MIG-8f3c",
		Parent: "GPU-1", Driver: "570.86.15", CUDA: "12.8", Links: []Link{{To: "gpu/GPU-2", By: LinkNVLink}}}
	if got := l.device(3); !reflect.DeepEqual(got, wantDevice) {
		t.Errorf("got %+v, want %+v", got, wantDevice)
	}
	want := Reading{
		MemoryFree: 40, MemoryUsed: 60, Utilisation: 25, Health: Healthy, TemperatureC: 71, PowerW: 512.5, PowerLimitW: 700,
		ClockMHz: 1500, ClockMaxMHz: 1980, Throttle: []string{ThrottlePower, ThrottleThermal},
		ECC:  ECC{Told: true, Corrected: 1, Uncorrected: 2, CorrectedAggregate: 3, UncorrectedAggregate: 4},
		Rows: Rows{Corrected: 5, Uncorrected: 6, Pending: true, Failed: true}, Recovery: "reset", Processes: []Process{{PID: 77, Memory: 60}},
	}
	if got := l.reading(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func helperLine(t *testing.T, d nvml.Device) line {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLine(raw)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A helper that counts no memory errors, and one of a build to come.
func TestLinesOfOtherBuilds(t *testing.T) {
	old, err := parseLine([]byte(gpuB))
	if r := old.reading(); err != nil || !strings.HasPrefix(r.Health, "degraded") || r.ECC.Told {
		t.Errorf("%+v, %v", r, err)
	}
	l, err := parseLine([]byte(`{"uuid":"GPU-1","health":"ok","memory_total":9,"fan":{"rpm":[1,2]},"temperature_c":-5,"throttle":["thermal","X y"],
		"recovery":"repaint","driver":"570\n","processes":[{"pid":0,"memory":1},{"pid":5,"memory":10},{"pid":6,"memory":9,"sm":3}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Reading{MemoryUsed: 9, Health: Healthy, Throttle: []string{ThrottleThermal}, Processes: []Process{{PID: 6, Memory: 9}}}
	if got := l.reading(); !reflect.DeepEqual(got, want) || l.device(0).Driver != "" {
		t.Errorf("%+v, %+v", got, l.device(0))
	}
}

func TestHealthOfLines(t *testing.T) {
	for health, want := range map[nvml.Health]string{
		nvml.OK: "ok", nvml.Lost: "lost: it does not answer the driver", nvml.Mute: "mute: the driver does not say why it does not answer", "": `its health reads ""`, "new": `its health reads "new"`,
	} {
		l := line{UUID: "GPU-1", Health: string(health), Utilisation: -1}
		if got := l.reading(); got.Health != want || got.Utilisation != 0 {
			t.Errorf("%q reads %+v, want %q", health, got, want)
		}
	}
}

func TestParseLineRefuses(t *testing.T) {
	for _, raw := range []string{
		``, `[]`, `"x"`, `{"uuid":7}`,
		`{"uuid":"../../x","health":"ok"}`,
		`{"uuid":"GPU-1","memory_total":1,"memory_free":2}`,
		`{"uuid":"GPU-1","utilisation":1.5}`,
		`{"uuid":"GPU-1","utilisation":-0.5}`,
		`{"uuid":"GPU-1","memory_total":-1}`,
		`{"uuid":"MIG-1","parent":"GPU 1"}`,
		`{"event":{"uuid":"GPU-1"}}`, `{"event":{"uuid":"GPU-1","xid":100000}}`, `{"event":{"uuid":"","xid":13}}`,
		`{"event":{"uuid":"GPU-1","xid":13,"pid":-1}}`,
		`{"uuid":"GPU-1","name":"` + strings.Repeat("x", 201) + `"}`,
	} {
		if l, err := parseLine([]byte(raw)); err == nil {
			t.Errorf("%s is taken as %+v", raw, l)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"uuid":"GPU-1","name":"H200","memory_total":100,"memory_free":40,"utilisation":0.25,"health":"ok"}`))
	f.Add([]byte(`{"uuid":"","utilisation":-1,"health":"lost"}`))
	f.Add([]byte(`{"event":{"uuid":"GPU-1","xid":79,"pid":3}}`))
	f.Add([]byte(`{"uuid":"MIG-1","parent":"GPU-1","health":"degraded","ecc":{"uncorrected":1},"rows":{"pending":true},"throttle":["thermal"],` +
		`"clock_mhz":1,"clock_max_mhz":2,"processes":[{"pid":1,"memory":1}],"links":[{"to":"GPU-2","by":"pcie"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := parseLine(raw)
		if err != nil {
			return
		}
		d, r := l.device(0), l.reading()
		if share := nextShare(0, r); share <= 0 || share > 1 || r.TemperatureC < 0 || r.PowerW < 0 {
			t.Errorf("%q reads %+v with the share %g", raw, r, share)
		}
		if e := l.Event; e != nil && (e.Xid == 0 || XidEvent(int(e.Xid), int(e.PID)).PID < 0) {
			t.Errorf("%q reads %+v", raw, e)
		}
		if r.MemoryFree > d.MemoryTotal || r.Utilisation > 100 || r.Health == "" || strings.Contains(string(d.ID), "..") {
			t.Errorf("%q reads %+v, %+v", raw, d, r)
		}
	})
}
