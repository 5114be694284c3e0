package actors

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	devices "github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// healthOf is what the node has told last of the device.
func (n *testNode) healthOf(id spec.DeviceID) (health string) {
	for _, d := range n.told() {
		for _, dev := range d.Devices {
			if dev.Device == string(id) {
				health = dev.Health
			}
		}
	}
	return health
}

// TestFaultsOfADevice: an application's error restarts the engine that had it; the device's own keeps
// new work away, not what runs, until it is resumed; a device that is gone ends what ran on it.
func TestFaultsOfADevice(t *testing.T) {
	t.Parallel()
	faults := &devices.Faults{}
	bend, _ := withServer(t)
	n := newMesh(t).start("a", everything, bend, func(c *Config) { c.Devices.Faults = faults })
	dev := deviceOf(n, 0)
	for id, epoch := range map[string]uint64{"i": 1, "j": 2} {
		ack, err := n.Command(within(t, 30*time.Second), "a", dev, serverModel(id, epoch, 100))
		mustCode(t, ack, err, "")
		n.awaitState(t, id, isReady)
	}
	i, j := spec.Target{Device: dev, Instance: "i"}, spec.Target{Device: dev, Instance: "j"}
	first, other := pidOf(t, n, i), pidOf(t, n, j)

	faults.Inject(dev, devices.Fault{Xid: 31, PID: first})
	n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_RESTARTING)
	n.awaitState(t, "i", isReady)
	second := pidOf(t, n, i)
	if again := pidOf(t, n, j); second == first || again != other {
		t.Errorf("engines %d and %d after the fault of %d, with %d beside it", second, again, first, other)
	}

	s := mustOpen(t, n, i, call("/wait", true))
	faults.Inject(dev, devices.Fault{ECC: 1})
	await(t, "the quarantine is told", func() bool { return strings.HasPrefix(n.healthOf(dev), "memory errors: 1") })
	_, err := n.Opener().Open(t.Context(), i, call("/pid", false), nil)
	mustReject(t, err, spec.RejectUnhealthy)
	ack, err := n.Command(within(t, 30*time.Second), "a", dev, serverModel("k", 3, 100))
	mustCode(t, ack, err, spec.CodeEngineUnavailable)
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Errorf("the running request: %v", err)
	}
	ack, err = n.Command(within(t, 30*time.Second), "a", dev, &wire.Resume{})
	mustCode(t, ack, err, "")
	if pidOf(t, n, i) != second || ack.Load.Health != devices.Healthy {
		t.Errorf("resumed: %v", ack.Load)
	}
	if got := gathered(t, n, "lotabots_device_xid_events_total"); got != 1 {
		t.Errorf("%v Xids are counted", got)
	}

	faults.Inject(dev, devices.Fault{ECC: 1, Gone: true})
	if _, err := io.ReadAll(s); err == nil {
		t.Error("a stream ended well though its device is gone")
	}
	n.awaitState(t, "i", wire.InstanceState_INSTANCE_STATE_GONE)
	await(t, "the engines are gone", func() bool {
		return syscall.Kill(second, 0) == syscall.ESRCH && syscall.Kill(other, 0) == syscall.ESRCH
	})
	if health := n.healthOf(dev); !strings.HasPrefix(health, "lost") {
		t.Errorf("health %q", health)
	}
}
