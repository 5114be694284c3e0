package actors

import (
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// TestEnginesOutliveTheNode: the next process of a node goes on with the engines of the one before, and
// obeys commands about them; an engine whose device is gone is ended.
func TestEnginesOutliveTheNode(t *testing.T) {
	bend, _ := withServer(t)
	run := t.TempDir()
	boot := uint64(time.Now().UnixMilli())
	m := newMesh(t)
	start := func(devices int) *testNode {
		boot++
		return m.start("a", everything, bend, func(c *Config) {
			c.RunDir, c.Boot, c.Engines.Linger, c.Devices.Simulated = run, boot, time.Minute, devices
		})
	}
	load := func(n *testNode, d int, id string) int {
		t.Helper()
		ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, d), serverModel(id, 7, 700))
		mustCode(t, ack, err, "")
		n.awaitState(t, id, isReady)
		return pidOf(t, n, spec.Target{Device: deviceOf(n, d), Instance: spec.InstanceID(id)})
	}
	first := start(2)
	pid, other := load(first, 0, "i"), load(first, 1, "j")
	first.LeaveEngines()
	first.stop()

	second := start(1)
	l := second.awaitState(t, "i", isReady)
	if l.Slots != 2 || l.Context != 512 || l.Epoch != 7 || l.Version != 3 || l.Deployment != "d" {
		t.Errorf("told of it: %v", l)
	}
	await(t, "the engine without a device is ended", func() bool { return syscall.Kill(other, 0) != nil })
	if again := pidOf(t, second, spec.Target{Device: deviceOf(second, 0), Instance: "i"}); again != pid {
		t.Errorf("process %d serves, and not %d", again, pid)
	}
	ack, err := second.Command(within(t, 30*time.Second), "a", deviceOf(second, 0), serverModel("k", 8, 700))
	mustCode(t, ack, err, spec.CodeOutOfMemory) // its memory is taken
	ack, err = second.Command(within(t, 30*time.Second), "a", deviceOf(second, 0), serverModel("i", 7, 700))
	mustCode(t, ack, err, "") // confirmed: no second load
	ack, err = second.Command(within(t, 30*time.Second), "a", deviceOf(second, 0), &wire.UnloadModel{Instance: "i", Epoch: 6})
	mustCode(t, ack, err, spec.CodeStaleEpoch)
	if again := pidOf(t, second, spec.Target{Device: deviceOf(second, 0), Instance: "i"}); again != pid {
		t.Errorf("process %d serves, and not %d", again, pid)
	}
	ack, err = second.Command(within(t, 30*time.Second), "a", deviceOf(second, 0), &wire.UnloadModel{Instance: "i", Epoch: 7})
	mustCode(t, ack, err, "")
	second.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_GONE)
	if syscall.Kill(pid, 0) == nil {
		t.Error("it still runs")
	}
}

// TestSpreadOutlivesTheNode: an engine over several devices goes on too, and each of them holds its memory.
func TestSpreadOutlivesTheNode(t *testing.T) {
	bend, _ := withServer(t)
	run := t.TempDir()
	boot := uint64(time.Now().UnixMilli())
	m := newMesh(t)
	start := func() *testNode {
		boot++
		return m.start("a", everything, bend, func(c *Config) {
			c.RunDir, c.Boot, c.Engines.Linger, c.Devices.Simulated = run, boot, time.Minute, 3
		})
	}
	free := func(n *testNode, d int) uint64 {
		ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, d), &wire.Describe{})
		mustCode(t, ack, err, "")
		return ack.GetLoad().GetMemoryFree() >> 20
	}
	first := start()
	load := serverModel("i", 7, 700)
	load.Devices = []string{string(deviceOf(first, 2))}
	ack, err := first.Command(within(t, 30*time.Second), "a", deviceOf(first, 0), load)
	mustCode(t, ack, err, "")
	first.awaitState(t, "i", isReady)
	target := spec.Target{Device: deviceOf(first, 0), Instance: "i"}
	pid := pidOf(t, first, target)
	first.LeaveEngines()
	first.stop()

	second := start()
	second.awaitState(t, "i", isReady)
	if again := pidOf(t, second, target); again != pid {
		t.Errorf("process %d serves, and not %d", again, pid)
	}
	if a, b, c := free(second, 0), free(second, 1), free(second, 2); a != 300 || b != 1000 || c != 300 {
		t.Errorf("%d, %d and %d MiB are free", a, b, c)
	}
	ack, err = second.Command(within(t, 30*time.Second), "a", deviceOf(second, 0), &wire.UnloadModel{Instance: "i", Epoch: 7})
	mustCode(t, ack, err, "")
	await(t, "all memory is back", func() bool { return free(second, 0) == 1000 && free(second, 2) == 1000 })
	if syscall.Kill(pid, 0) == nil {
		t.Error("it still runs")
	}
}

func TestPlacementOf(t *testing.T) {
	here := []device.Device{{ID: "gpu/1"}, {ID: "gpu/2"}}
	placed := []byte("\x0a\x01i") // of instance i
	for name, c := range map[string]struct {
		e    engine.Spec
		want string
	}{
		"stays":          {engine.Spec{Instance: "i", Placement: placed, Device: here[0]}, ""},
		"no device":      {engine.Spec{Instance: "i", Placement: placed, Device: device.Device{ID: "gpu/3"}}, "its device gpu/3 is not there any more"},
		"several":        {engine.Spec{Instance: "i", Placement: placed, Device: here[0], Others: here[1:]}, ""},
		"one is gone":    {engine.Spec{Instance: "i", Placement: placed, Device: here[0], Others: []device.Device{{ID: "gpu/3"}}}, "its device gpu/3 is not there any more"},
		"somebody else":  {engine.Spec{Instance: "j", Placement: placed, Device: here[0]}, "its placement cannot be read"},
		"no placement":   {engine.Spec{Instance: "i", Device: here[0]}, "its placement cannot be read"},
		"not understood": {engine.Spec{Instance: "i", Placement: []byte{1}, Device: here[0]}, "its placement cannot be read"},
	} {
		if m, why := placementOf(c.e, here); why != c.want || (m != nil) != (c.want == "") {
			t.Errorf("%s: %q", name, why)
		}
	}
}
