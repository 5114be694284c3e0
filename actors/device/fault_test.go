package device

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Every class names its source, no Xid is in two of them, and the ones that decide most are where
// NVIDIA has them.
func TestXidClasses(t *testing.T) {
	seen := map[int]bool{}
	for _, c := range xidClasses {
		if c.source == "" || c.action == "" || c.kind == Notice || len(c.xids) == 0 {
			t.Errorf("%+v", c)
		}
		for _, x := range c.xids {
			if seen[x] {
				t.Errorf("xid %d is in two classes", x)
			}
			seen[x] = true
		}
	}
	for xid, want := range map[int]Kind{
		13: AppFault, 31: AppFault, 43: AppFault, 94: AppFault, 139: AppFault,
		46: DeviceFault, 48: DeviceFault, 62: DeviceFault, 64: DeviceFault, 74: DeviceFault, 95: DeviceFault, 109: DeviceFault, 119: DeviceFault, 140: DeviceFault,
		79: Gone, 45: Notice, 63: Notice, 92: Notice, 121: Notice, 154: Notice, 1: Notice, 99999: Notice, -1: Notice,
	} {
		if got := KindOfXid(xid); got != want {
			t.Errorf("xid %d is %s, want %s", xid, got, want)
		}
	}
	if e := XidEvent(79, 5); e.Text != "xid 79: it has fallen off the bus" || e.PID != 5 || e.Kind != Gone {
		t.Errorf("%+v", e)
	}
	if e := XidEvent(999, 0); e.Text != "xid 999" || e.Kind != Notice {
		t.Errorf("%+v", e)
	}
}

func TestJudge(t *testing.T) {
	ecc := func(n uint64) Reading {
		return Reading{Health: Healthy, ECC: ECC{Told: true, Corrected: 1000, Uncorrected: n}}
	}
	for name, c := range map[string]struct {
		accepted Baseline
		reading  Reading
		kind     Kind
		text     string
	}{
		"well":               {Baseline{}, ecc(0), "", ""},
		"ill by itself":      {Baseline{}, Reading{Health: "its sensors cannot be read"}, "", ""},
		"an error":           {Baseline{}, ecc(1), DeviceFault, "1 uncorrected"},
		"an accepted one":    {Accepting(ecc(2)), ecc(2), "", ""},
		"one more":           {Accepting(ecc(2)), ecc(3), DeviceFault, "3 uncorrected"},
		"a reloaded driver":  {Accepting(ecc(2)), ecc(0), "", ""},
		"pending":            {Baseline{}, Reading{Rows: Rows{Uncorrected: 1, Pending: true}}, DeviceFault, "next reset"},
		"pending, accepted":  {Baseline{Pending: true}, Reading{Rows: Rows{Uncorrected: 1, Pending: true}}, "", ""},
		"replaced":           {Baseline{}, Reading{Rows: Rows{Corrected: 3, Uncorrected: 1}}, "", ""},
		"no row left":        {Baseline{Pending: true}, Reading{Rows: Rows{Pending: true, Failed: true}}, DeviceFault, "no spare row"},
		"asks for a reset":   {Baseline{}, Reading{Recovery: "reset"}, DeviceFault, "reset of the GPU"},
		"asks for a reboot":  {Baseline{Recovery: "reset"}, Reading{Recovery: "reboot"}, DeviceFault, "reboot of the machine"},
		"asks, accepted":     {Baseline{Recovery: "reset"}, Reading{Recovery: "reset"}, "", ""},
		"gone":               {Accepting(ecc(9)), Reading{Gone: true}, Gone, "lost"},
		"gone, with the lot": {Baseline{}, Reading{Gone: true, Rows: Rows{Failed: true}, Recovery: "reset"}, Gone, "lost"},
	} {
		e, wrong := Judge(c.accepted, c.reading)
		if wrong != (c.kind != "") || e.Kind != c.kind || !strings.Contains(e.Text, c.text) {
			t.Errorf("%s: %+v, %t", name, e, wrong)
		}
	}
}

func TestForeign(t *testing.T) {
	r := Reading{Processes: []Process{{PID: 1, Memory: 10}, {PID: 2, Memory: 20}, {PID: 3}}}
	if got := r.Foreign(func(pid int) bool { return pid == 1 }); got != 20 {
		t.Errorf("%d bytes", got)
	}
}

// Whatever is read, a share is one, heat never raises it, and without heat it comes back.
func TestShareProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := 0.0
		hot := rapid.Bool().Draw(t, "hot")
		for range rapid.IntRange(1, 60).Draw(t, "readings") {
			r := Reading{ClockMHz: rapid.Uint32().Draw(t, "clock"), ClockMaxMHz: rapid.Uint32().Draw(t, "most")}
			if hot {
				r.Throttle = []string{rapid.SampledFrom([]string{ThrottleThermal, ThrottleBrake}).Draw(t, "why")}
			}
			next := nextShare(share, r)
			if told := stepped(next); next < leastShare || next > 1 || told <= 0 || told > 1 || math.Abs(told-next) > 0.026 {
				t.Fatalf("%g after %g, told as %g", next, share, told)
			}
			share = next
		}
		for range 40 {
			share = nextShare(share, Reading{Throttle: []string{ThrottlePower}})
		}
		if stepped(share) != 1 {
			t.Fatalf("%g long after the heat", share)
		}
	})
	if got := nextShare(1, Reading{Throttle: []string{ThrottleThermal}}); got != 0.9 {
		t.Errorf("%g after one hot second without clocks", got)
	}
}

func TestFaultFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	var log bytes.Buffer
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{Node: "n1", Kind: KindSimulated, Simulated: 2, MemoryMB: 1, FaultFile: path, Log: slog.New(slog.NewTextHandler(&log, nil))}
	d := simulated(c)[0]
	p := newPretender(c)
	read := func() (Reading, []Event) {
		p.look()
		return p.read(d)
	}
	if r, events := read(); r.Health != Healthy || r.MemoryFree != 1<<20 || r.Share != 1 || len(events) != 0 {
		t.Fatalf("without a file: %+v, %+v", r, events)
	}
	write(`{"gpu/sim-n1-0": {"xid": 13, "pid": 7, "ecc": 1, "temperature": 95, "throttle": ["thermal"], "health": "odd", "memory_others": 1000}}`)
	r, events := read()
	if r.Health != "odd" || r.ECC.Uncorrected != 1 || r.TemperatureC != 95 || r.MemoryOthers != 1000 || r.MemoryFree != 1<<20-1000 || r.Share != 0.9 || r.Gone {
		t.Errorf("%+v", r)
	}
	if len(events) != 1 || events[0].Xid != 13 || events[0].PID != 7 || events[0].Device != d.ID || events[0].Kind != AppFault {
		t.Errorf("%+v", events)
	}
	if _, events := read(); len(events) != 0 {
		t.Errorf("reported again: %+v", events)
	}
	for _, damaged := range []string{``, `{"gpu/sim-n1-0": {"xid": 79}`, `[]`, `null`, `{} {}`, `{"a": {"xid": -1}}`, `{"a": {"colour": "red"}}`, `{"a": {"throttle": ["no word"]}}`} {
		write(damaged)
		log.Reset()
		for range 2 {
			if r, _ := read(); r.Health != "odd" {
				t.Errorf("%q is taken: %+v", damaged, r)
			}
		}
		if n := strings.Count(log.String(), "the fault file is damaged"); n != 1 {
			t.Errorf("%q is told of %d times: %s", damaged, n, log.String())
		}
		write(`{"gpu/sim-n1-0": {"health": "odd"}}`)
		read()
	}
	write(`{"gpu/sim-n1-0": {"gone": true, "xid": 79}}`)
	if r, events := read(); !r.Gone || r.Health == Healthy || len(events) != 1 || events[0].Kind != Gone {
		t.Errorf("%+v, %+v", r, events)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if r, _ := read(); r.Health != Healthy || r.Gone {
		t.Errorf("without the file again: %+v", r)
	}
	write(`{"gpu/sim-n1-0": {"gone": true, "xid": 79}}`)
	if r, events := read(); !r.Gone || len(events) != 1 {
		t.Errorf("the same file again: %+v, %+v", r, events)
	}
}

func FuzzParseFaults(f *testing.F) {
	f.Add([]byte(`{"gpu/sim-n1-0": {"xid": 79, "ecc": 1, "temperature": 95, "throttle": ["thermal"], "health": "x", "memory_others": 5, "gone": true}}`))
	f.Add([]byte(`{"a": {}} x`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		faults, err := parseFaults(raw)
		if err != nil {
			return
		}
		d := Device{MemoryTotal: 100}
		for id, fault := range faults {
			r := Reading{Health: Healthy}
			fault.apply(d, &r)
			if r.MemoryFree > 100 || r.MemoryOthers > 100 || r.TemperatureC < 0 || fault.Xid < 0 {
				t.Errorf("%s: %+v reads %+v", id, fault, r)
			}
		}
	})
}

func TestInjectedFaults(t *testing.T) {
	faults := &Faults{}
	p := newPretender(Config{Faults: faults})
	d := Device{ID: "gpu/1", MemoryTotal: 100}
	faults.Inject(d.ID, Fault{Xid: 31})
	if r, events := p.read(d); r.Health != Healthy || len(events) != 1 || events[0].Xid != 31 {
		t.Errorf("%+v, %+v", r, events)
	}
	faults.Set(d.ID, "lost")
	if r, events := p.read(d); r.Health != "lost" || len(events) != 0 {
		t.Errorf("%+v, %+v", r, events)
	}
	faults.Inject(d.ID, Fault{Xid: 31})
	if _, events := p.read(d); len(events) != 1 {
		t.Errorf("a second time: %+v", events)
	}
}
