package chaos

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/chaos/links"
)

func TestPlanIsAFunctionOfItsSeed(t *testing.T) {
	a, b := Plan(7, time.Minute, 3, Kinds), Plan(7, time.Minute, 3, Kinds)
	if !reflect.DeepEqual(a, b) || len(a) < 4 {
		t.Errorf("two plans of one seed:\n%v\n%v", a, b)
	}
	if reflect.DeepEqual(a, Plan(8, time.Minute, 3, Kinds)) {
		t.Error("two seeds have the same plan")
	}
}

// TestOldSeedsKeepTheirPlans: reports name seeds, and must stay true.
func TestOldSeedsKeepTheirPlans(t *testing.T) {
	got := ""
	for _, f := range Plan(1, 30*time.Second, 3, []Kind{Kill, Stop}) {
		got += fmt.Sprintf("%s %d at %v for %v; ", f, f.Node, f.At, f.Hold)
	}
	const want = "stop 1 at 2.92s for 3.164s; kill 0 at 12.545s for 1.138s; stop 0 at 19.58s for 1.875s; "
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPlansAreWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 9).Draw(t, "nodes")
		duration := time.Duration(rapid.IntRange(5, 300).Draw(t, "seconds")) * time.Second
		kinds := rapid.SliceOfNDistinct(rapid.SampledFrom(Kinds), 1, len(Kinds), rapid.ID[Kind]).Draw(t, "kinds")
		plan := Plan(rapid.Int64().Draw(t, "seed"), duration, nodes, kinds)
		free := quiet
		seen := map[Kind]int{}
		for _, f := range plan {
			seen[f.Kind]++
			if f.At < free || f.Node < 0 || f.Node >= nodes || f.Hold <= 0 || f.At+f.Hold+quiet > duration {
				t.Fatalf("%+v in a plan of %v on %d nodes, free from %v", f, duration, nodes, free)
			}
			if cut := f.Kind == Cut; cut != (f.Direction != "") || cut != (f.Mode != "") {
				t.Fatalf("%+v", f)
			}
			free = f.At + f.Hold + recovery
		}
		for _, k := range kinds { // they come in turn
			if most := len(plan)/len(kinds) + 1; seen[k] > most {
				t.Fatalf("%d of %s in %v", seen[k], k, plan)
			}
		}
		if duration >= 20*time.Second && len(plan) == 0 {
			t.Fatalf("no faults in %v", duration)
		}
	})
}

func TestCutsCoverEveryWay(t *testing.T) {
	seen := map[string]bool{}
	for seed := range int64(50) {
		for _, f := range Plan(seed, time.Minute, 3, []Kind{Cut}) {
			seen[string(f.Direction)+" "+string(f.Mode)] = true
		}
	}
	for _, d := range []Direction{Both, In, Out} {
		for _, m := range []links.Mode{links.Freeze, links.Reset} {
			if !seen[string(d)+" "+string(m)] {
				t.Errorf("no seed of 50 cuts %s with %s", d, m)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	sound := Config{Binary: "lotabots"}
	c, err := sound.withDefaults()
	if err != nil || c.Nodes != 3 || c.Engine != "embedded" || !reflect.DeepEqual(c.Faults, []Kind{Kill, Stop, Cut}) || c.Limits != limits() {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	patient := sound
	patient.Patience = 3
	if c, err := patient.withDefaults(); err != nil || c.Limits.Revoked != 3*time.Second || c.Limits.Settle != 45*time.Second || !strings.Contains(replay(c), " --patience 3 ") {
		t.Errorf("patient: %+v, %v, replayed by %s", c.Limits, err, replay(c))
	}
	attached := Config{Binary: "lotabots", Attach: "dir"}
	if c, err := attached.withDefaults(); err != nil || !reflect.DeepEqual(c.Faults, []Kind{Kill, Stop}) {
		t.Errorf("attached: %+v, %v", c, err)
	}
	for _, bad := range []struct {
		change func(*Config)
		says   string
	}{
		{func(c *Config) { c.Binary = "" }, "executable"},
		{func(c *Config) { c.Duration = time.Second }, "duration"},
		{func(c *Config) { c.Nodes = 10 }, "nodes"},
		{func(c *Config) { c.Faults = []Kind{"flood"} }, "flood"},
		{func(c *Config) { c.Attach, c.Data = "a", "b" }, "attach"},
		{func(c *Config) { c.Attach, c.Faults = "a", []Kind{Cut} }, "harness's own"},
		{func(c *Config) { c.Nodes, c.Faults = 2, []Kind{Cut} }, "spare"},
	} {
		c := sound
		bad.change(&c)
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%+v: %v, want it to speak of %q", c, err, bad.says)
		}
	}
}
