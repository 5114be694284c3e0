package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
)

// There is no GPU where these tests run: scripts stand in for nvidia-smi and lotabots-engine. Their
// output has the form of the real ones.
func script(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	smiOutput = `GPU-a, 81559, 81000, 31, 69.71, 345, 570.86.15
GPU-b, 81559, 80000, [N/A], [Not Supported], [N/A], 570.86.15
`
	gpuLine = `{"uuid":"GPU-a","name":"NVIDIA H100","memory_total":85520809984,"memory_free":84934656000,"utilisation":0,"health":"ok",` +
		`"driver":"570.86.15","cuda":"12.8","temperature_c":32,"power_w":70.1,"clock_mhz":345,"clock_max_mhz":1980}`
)

func TestWithoutGPU(t *testing.T) {
	var out bytes.Buffer
	s := settings{helper: script(t, "lotabots-engine", "exit 0"), smi: "/no/such/program", out: &out}
	if err := check(t.Context(), s); err != nil || !strings.HasPrefix(out.String(), "no NVIDIA GPU here: nothing was checked") {
		t.Errorf("%v: %s", err, out.String())
	}
	s.smi = script(t, "nvidia-smi", "cat <<'.'\n"+smiOutput+".\n")
	if err := check(t.Context(), s); err == nil || !strings.Contains(err.Error(), "nvidia-smi sees 2 GPUs, lotabots-engine none") {
		t.Errorf("%v", err)
	}
	s.helper, s.smi = script(t, "lotabots-engine", "echo '"+gpuLine+"'"), "/no/such/program"
	if err := check(t.Context(), s); err == nil || !strings.Contains(err.Error(), "no nvidia-smi to compare with") {
		t.Errorf("%v", err)
	}
}

func TestTelemetryAndXids(t *testing.T) {
	var out bytes.Buffer
	helper := script(t, "lotabots-engine", `echo '`+gpuLine+`'
[ "$2" = --watch ] || exit 0
echo '{"watching":{"uuids":["GPU-a"]}}'
while :; do echo '`+gpuLine+`'; sleep 0.1; done`)
	s := settings{helper: helper, smi: script(t, "nvidia-smi", "cat <<'.'\n"+smiOutput+".\n"), out: &out}
	c := device.Config{Kind: device.KindNVIDIA, Helper: helper}
	devices, err := device.Discover(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.telemetry(t.Context(), c, devices), s.xids(t.Context(), 1)); err != nil {
		t.Error(err)
	}
	if said := out.String(); strings.Count(said, "nvidia-smi: agrees") != 3 || !strings.Contains(said, "the driver reports Xids of 1 GPUs") {
		t.Error(said)
	}
	s.smi = script(t, "nvidia-smi", "echo 'GPU-a, 81559, 12000, 31, 69.71, 345, 570.86.15'")
	if err := s.telemetry(t.Context(), c, devices); err == nil || !strings.Contains(err.Error(), "free memory") {
		t.Errorf("%v", err)
	}
	s.helper = script(t, "lotabots-engine", `echo '{"watching":{"uuids":null,"why":"the driver has no events"}}'`)
	if err := s.xids(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "the driver has no events") {
		t.Errorf("%v", err)
	}
	s.helper = script(t, "lotabots-engine", `echo '{}'`)
	if err := s.xids(t.Context(), 1); err == nil {
		t.Error("silence is taken for events")
	}
}

func TestCompare(t *testing.T) {
	rows, err := parseSMI(smiOutput)
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	d := device.Device{UUID: "GPU-a", MemoryTotal: 81559 << 20, Driver: "570.86.15"}
	r := device.Reading{MemoryFree: 81000 << 20, TemperatureC: 33, PowerW: 80, ClockMHz: 1200}
	if got := compare(d, r, rows["GPU-a"]); len(got) != 0 {
		t.Error(got)
	}
	if got := compare(d, device.Reading{MemoryFree: 80000 << 20}, rows["GPU-b"]); len(got) != 0 {
		t.Errorf("of what it does not tell: %v", got)
	}
	d.MemoryTotal, d.Driver = 1<<30, "1"
	r = device.Reading{MemoryFree: 1 << 30, TemperatureC: 90, PowerW: 70_000, ClockMHz: 9}
	if got := compare(d, r, rows["GPU-a"]); len(got) != 6 {
		t.Error(got)
	}
	if got := compare(d, r, rows["GPU-c"]); len(got) != 1 {
		t.Error(got)
	}
	if _, err := parseSMI("No devices were found\n"); err == nil {
		t.Error("a sentence is taken for a table")
	}
}

// The ledger has to show what is taken while it is, and to have it back.
func TestTakeMemory(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	var out bytes.Buffer
	s := settings{helper: script(t, "lotabots-engine", `[ "$*" = "hold-memory --mib 100" ] && [ "$CUDA_VISIBLE_DEVICES" = GPU-a ] || exit 9
touch `+held+`; cat; rm `+held), mib: 100, out: &out}
	free := func(context.Context, device.Device) (uint64, error) {
		if _, err := os.Stat(held); err == nil {
			return 800 << 20, nil
		}
		return 1000 << 20, nil
	}
	if err := s.takeMemory(t.Context(), device.Device{UUID: "GPU-a"}, free); err != nil || !strings.Contains(out.String(), "200 MiB less") {
		t.Errorf("%v: %s", err, out.String())
	}
	patience, poll = time.Second, 10*time.Millisecond
	t.Cleanup(func() { patience, poll = time.Minute, 200*time.Millisecond })
	if err := s.takeMemory(t.Context(), device.Device{UUID: "GPU-b"}, free); err == nil {
		t.Error("a helper that takes nothing is not missed")
	}
}
