package device

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/device/nvml"
)

// What the helper's package prints is what this one reads.
func TestLineIsTheHelpers(t *testing.T) {
	raw, err := json.Marshal(nvml.Device{
		UUID: "GPU-8f3c", Name: "NVIDIA H200", MemoryTotal: 100, MemoryFree: 40, Utilisation: 0.25, Health: nvml.Degraded,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLine(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := Device{ID: "gpu/GPU-8f3c", Kind: KindNVIDIA, Name: "NVIDIA H200", MemoryTotal: 100, Index: 3, UUID: "GPU-8f3c"}
	if got := l.device(3); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r := l.reading()
	if r.MemoryFree != 40 || r.Utilisation != 25 || !strings.Contains(r.Health, "uncorrected memory errors") {
		t.Errorf("%+v", r)
	}
}

func TestHealthOfLines(t *testing.T) {
	for health, want := range map[nvml.Health]string{
		nvml.OK: "ok", nvml.Lost: "lost: it does not answer the driver", "": `its health reads ""`, "new": `its health reads "new"`,
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
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := parseLine(raw)
		if err != nil {
			return
		}
		d, r := l.device(0), l.reading()
		if r.MemoryFree > d.MemoryTotal || r.Utilisation > 100 || r.Health == "" || strings.Contains(string(d.ID), "..") {
			t.Errorf("%q reads %+v, %+v", raw, d, r)
		}
	})
}
