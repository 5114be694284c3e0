//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

// TestHostileClients: attacks of all kinds at once get clear errors, the node's memory
// stays bounded, ordinary requests are served beside them, and nothing is left after.
// `make bench-hostile` does it with ten thousand connections, and measures.
func TestHostileClients(t *testing.T) {
	var report *chaos.HostileReport
	for range 3 { // a machine that has no time for ordinary requests alone shows nothing: it may have later
		var err error
		report, err = chaos.Hostile(t.Context(), chaos.HostileConfig{Binary: binary(t), Idle: 500, Slow: 20, Floods: 2,
			Alone: 2 * time.Second, Beset: 10 * time.Second, Out: t.Output()})
		if err != nil {
			t.Fatal(err)
		}
		if chaos.Quantile(report.Alone, 0.99) < 300*time.Millisecond || len(report.Failed) == 0 && report.Idle == 500 && len(report.Beset) >= 50 {
			break
		}
	}
	t.Logf("memory %d MiB before, %d at most; ordinary requests %v alone and %v beside, at the 99th percentile; %v",
		report.MemoryAt>>20, report.MemoryMax>>20, chaos.Quantile(report.Alone, 0.99), chaos.Quantile(report.Beset, 0.99), report.Told)
	if report.MemoryMax > 768<<20 {
		t.Errorf("%d MiB of memory", report.MemoryMax>>20)
	}
	if report.Idle != 500 || len(report.Beset) < 50 {
		t.Errorf("%d idle connections are left; %d ordinary requests were served", report.Idle, len(report.Beset))
	}
	for _, what := range report.Failed {
		t.Error("an ordinary request:", what)
	}
	for kind, want := range map[string]string{"1 GB bodies": "413 body_too_large", "1 GB bodies, chunked": "413 body_too_large",
		"JSON 100,000 deep": "400 invalid_json", "JSON of many values": "400 invalid_request", "header flood": "431 headers_too_large"} {
		if report.Told[kind][want] == 0 {
			t.Errorf("%s: %v, want %s", kind, report.Told[kind], want)
		}
		for what, n := range report.Told[kind] {
			if what != want && what != "429 no_capacity" && what != "503 overloaded" && !(strings.HasPrefix(kind, "1 GB") && what == "no answer" && n < 3) {
				t.Errorf("%s: %d were told %q", kind, n, what)
			}
		}
	}
}
