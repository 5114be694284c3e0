package device

import (
	"os"
	"path/filepath"
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

// A helper that floods its errors is not kept in memory.
func TestWatchBoundsComplaints(t *testing.T) {
	helper := script(t, `i=0; while [ $i -lt 3000 ]; do echo "complaint number $i of many" >&2; i=$((i+1)); done; echo the end >&2; exit 1`)
	seen := watch(t, Config{Kind: KindNVIDIA, Helper: helper, Interval: time.Second}, twoGPUs[:1])
	r := seen.until(t, "gpu/GPU-a", "the loss", func(Reading, int) bool { return true })
	if !strings.HasSuffix(r.Health, "the end") {
		t.Errorf("%+v", r)
	}
}
