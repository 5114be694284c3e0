package device

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var twoGPUs = []Device{{ID: "gpu/GPU-a", Kind: KindNVIDIA, UUID: "GPU-a"}, {ID: "gpu/GPU-b", Kind: KindNVIDIA, UUID: "GPU-b"}}

func TestWatchNVIDIA(t *testing.T) {
	helper := script(t, `[ "$*" = "devices --watch --interval 20ms" ] || exit 9
while :; do echo '`+gpuA+`'; echo 'not JSON'; echo '`+gpuB+`'; echo '{"uuid":"GPU-of-another"}'; sleep 0.02; done`)
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: 20 * time.Millisecond}, twoGPUs)
	a := seen.until(t, "gpu/GPU-a", "readings", func(r Reading, n int) bool { return n > 3 && r.Health == Healthy })
	if a.MemoryFree != 900 || a.Utilisation != 50 {
		t.Errorf("%+v", a)
	}
	seen.until(t, "gpu/GPU-b", "its illness", func(r Reading, _ int) bool { return strings.HasPrefix(r.Health, "degraded") })
}

// A helper that dies makes its GPUs ill until another one reads them.
func TestWatchLosesItsHelper(t *testing.T) {
	dir := t.TempDir()
	heal := filepath.Join(dir, "heal")
	helper := script(t, `echo '`+gpuA+`'
if [ -e `+heal+` ]; then echo '`+gpuB+`'; exec sleep 100; fi
echo "driver mismatch" >&2; exit 3`)
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: 10 * time.Millisecond}, twoGPUs)
	r := seen.until(t, "gpu/GPU-b", "the loss", func(r Reading, _ int) bool { return strings.Contains(r.Health, "cannot be read") })
	if !strings.Contains(r.Health, "driver mismatch") || !strings.Contains(r.Health, "exit status 3") {
		t.Errorf("the reason is missing: %+v", r)
	}
	if err := os.WriteFile(heal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seen.until(t, "gpu/GPU-b", "another helper", func(r Reading, _ int) bool { return strings.HasPrefix(r.Health, "degraded") })
}

// One GPU of two falls off the bus: the driver lists the other one only.
func TestWatchMissesAGPU(t *testing.T) {
	helper := script(t, `echo '`+gpuB+`'; while :; do echo '`+gpuA+`'; sleep 0.05; done`)
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: 50 * time.Millisecond}, twoGPUs)
	seen.until(t, "gpu/GPU-b", "the loss", func(r Reading, _ int) bool { return strings.Contains(r.Health, "does not show it") })
	seen.until(t, "gpu/GPU-a", "the other", func(r Reading, n int) bool { return n > 3 && r.Health == Healthy })
}

// Xids come between the readings: of a GPU, or of the GPU that devices are slices of.
func TestWatchTellsEvents(t *testing.T) {
	helper := script(t, `echo '{"watching":{"uuids":["GPU-a","GPU-m"]}}'
echo '{"event":{"uuid":"GPU-a","xid":31,"pid":77}}'
echo '{"event":{"uuid":"GPU-m","xid":79}}'
echo '{"event":{"uuid":"GPU-of-another","xid":79}}'
echo '{"event":{"uuid":"GPU-a","xid":63}}'
exec sleep 100`)
	devices := append(twoGPUs[:1:1], Device{ID: "gpu/MIG-1", Kind: KindNVIDIA, UUID: "MIG-1", Parent: "GPU-m"},
		Device{ID: "gpu/MIG-2", Kind: KindNVIDIA, UUID: "MIG-2", Parent: "GPU-m"})
	var got []string
	for _, e := range watch(t, Config{Kind: KindNVIDIA, Helper: helper}, devices).happened(t, 4) {
		got = append(got, fmt.Sprintf("%s %s %d %d", e.Device, e.Kind, e.Xid, e.PID))
	}
	want := []string{"gpu/GPU-a app_fault 31 77", "gpu/MIG-1 gone 79 0", "gpu/MIG-2 gone 79 0", "gpu/GPU-a notice 63 0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A slice is lost with its GPU, which lists no slices any more.
func TestWatchLosesAGPUOfSlices(t *testing.T) {
	helper := script(t, `while :; do echo '{"uuid":"GPU-m","utilisation":-1,"health":"lost"}'; sleep 0.05; done`)
	slice := []Device{{ID: "gpu/MIG-1", Kind: KindNVIDIA, UUID: "MIG-1", Parent: "GPU-m"}}
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: 50 * time.Millisecond}, slice)
	seen.until(t, "gpu/MIG-1", "the loss", func(r Reading, _ int) bool { return r.Gone })
}

// Heat lowers the share step by step; it comes back as slowly.
func TestWatchLowersTheShare(t *testing.T) {
	hot := filepath.Join(t.TempDir(), "hot")
	helper := script(t, `while :; do
if [ -e `+hot+` ]; then echo '{"uuid":"GPU-a","health":"ok","throttle":["thermal"],"clock_mhz":600,"clock_max_mhz":1200}'
else echo '{"uuid":"GPU-a","health":"ok","throttle":["power"],"clock_mhz":900,"clock_max_mhz":1200}'; fi; sleep 0.01; done`)
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: 10 * time.Millisecond}, twoGPUs[:1])
	seen.until(t, "gpu/GPU-a", "all of it", func(r Reading, n int) bool { return n > 3 && r.Share == 1 })
	if err := os.WriteFile(hot, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seen.until(t, "gpu/GPU-a", "half of it", func(r Reading, _ int) bool { return r.Share == 0.5 })
	if err := os.Remove(hot); err != nil {
		t.Fatal(err)
	}
	seen.until(t, "gpu/GPU-a", "all of it again", func(r Reading, _ int) bool { return r.Share == 1 })
}

// A helper that floods its errors is not kept in memory.
func TestWatchBoundsComplaints(t *testing.T) {
	helper := script(t, `i=0; while [ $i -lt 3000 ]; do echo "complaint number $i of many" >&2; i=$((i+1)); done; echo the end >&2; exit 1`)
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: time.Second}, twoGPUs[:1])
	r := seen.until(t, "gpu/GPU-a", "the loss", func(Reading, int) bool { return true })
	if !strings.HasSuffix(r.Health, "the end") {
		t.Errorf("%+v", r)
	}
}
