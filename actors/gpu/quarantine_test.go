package gpu

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/actors/device"
)

func keptFor(t *testing.T, q *Quarantines) *Actor {
	t.Helper()
	return New(Config{Device: device.Device{ID: "gpu/1", MemoryTotal: 1000}, Quarantines: q, Log: slog.New(slog.DiscardHandler)})
}

func opened(t *testing.T, path string) *Quarantines {
	t.Helper()
	q, err := OpenQuarantines(path)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestQuarantinesOutliveActorsAndNodes until an operator resumes the device, or the
// machine starts anew.
func TestQuarantinesOutliveActorsAndNodes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "quarantine.json")
	q := opened(t, path)
	if q.boot == "" {
		t.Skip("this system does not tell its boots apart")
	}
	fault := device.Event{Device: "gpu/1", Kind: device.DeviceFault, Xid: 48, Text: "xid 48: double bit error"}
	q.note("gpu/1", standing{Fault: fault})
	q.note("gpu/2", standing{Fault: device.Event{Kind: device.Gone, Text: "lost"}})
	if a := keptFor(t, q); !a.table.quarantined() || a.table.snapshot(traceEpoch).Health != fault.Text {
		t.Error("the next actor knows nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.Keep(ctx, func(err error) { t.Error(err) })
	next := opened(t, path)
	if !keptFor(t, next).table.quarantined() {
		t.Error("the next process knows nothing")
	}
	if next.of("gpu/2").Fault.Kind != "" {
		t.Error("a device that was found again counts as gone")
	}
	next.note("gpu/1", standing{Accepted: device.Baseline{Uncorrected: 3}})
	if a := keptFor(t, next); a.table.quarantined() || a.table.accepted.Uncorrected != 3 {
		t.Errorf("after it was resumed: %+v, %+v", a.table.fault, a.table.accepted)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), q.boot, "another", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if keptFor(t, opened(t, path)).table.quarantined() {
		t.Error("the machine was started since")
	}
	if keptFor(t, nil).table.quarantined() {
		t.Error("nobody keeps anything")
	}
}

func TestDamagedQuarantinesAreTold(t *testing.T) {
	for _, text := range []string{"", "[]", `{"boot":"BOOT","devices":{"gpu/1":{"fault":{"Kind":"notice"}}}}`, strings.Repeat(" ", maxQuarantineFile+1)} {
		path := filepath.Join(t.TempDir(), "quarantine.json")
		if err := os.WriteFile(path, []byte(strings.Replace(text, "BOOT", machineBoot(), 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := OpenQuarantines(path)
		if err == nil || !strings.Contains(err.Error(), "damaged") || keptFor(t, q).table.quarantined() {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func FuzzQuarantines(f *testing.F) {
	f.Add([]byte(`{"boot":"b","devices":{"gpu/1":{"fault":{"Kind":"device_fault","Text":"x"},"accepted":{"Uncorrected":1}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		devices, err := parseQuarantines(raw, "b")
		if err != nil {
			return
		}
		for id, s := range devices {
			if k := s.Fault.Kind; k != "" && k != device.DeviceFault || len(s.Fault.Text) > maxFaultText {
				t.Fatalf("%s: %+v", id, s)
			}
		}
	})
}
