//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos"
)

// TestClientsThatLeave: the engine of another node stops soon after, whether it was
// at work for the client or the request waited, streamed or not. `make bench-cancel`
// measures it; here the machine may be shared with much else.
func TestClientsThatLeave(t *testing.T) {
	report, err := chaos.Leaving(t.Context(), chaos.LeavingConfig{Binary: binary(t), Times: 8, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range chaos.LeavingCases {
		middle, worst := chaos.Quantile(report.Times[name], 0.5), chaos.Quantile(report.Times[name], 1)
		t.Logf("%s: %v in the middle, %v at the worst; looked at every %v at the slowest", name, middle, worst, report.Polls[name])
		if middle > 100*time.Millisecond+report.Polls[name] || worst > 2*time.Second {
			t.Errorf("%s: %v in the middle, %v at the worst", name, middle, worst)
		}
	}
}
