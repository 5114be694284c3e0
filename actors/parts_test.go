package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	devices "github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gpu"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

func TestSplit(t *testing.T) {
	var loads []*wire.DeviceLoad
	for i := range 40 {
		d := &wire.DeviceLoad{Device: fmt.Sprintf("gpu/%02d", i), Seq: 1 << 40, Kind: "nvidia", Name: strings.Repeat("N", i)}
		for j := range i % 5 {
			d.Instances = append(d.Instances, &wire.InstanceLoad{Instance: fmt.Sprint(j), Reason: strings.Repeat("r", 100)})
		}
		loads = append(loads, gpu.Parts(d)...)
	}
	big := &wire.DeviceLoad{Device: "gpu/big", Instances: []*wire.InstanceLoad{{Instance: "i"}}}
	for i := gpu.MaxDevice; proto.Size(big) < gpu.MaxDevice; i-- {
		big.Name = strings.Repeat("x", gpu.MaxDevice-i)
	}
	loads = append(loads, big)
	seen := 0
	digests := split(spec.NodeID(strings.Repeat("n", 40)), uint64(time.Now().UnixMilli()), loads)
	for _, d := range digests {
		if size := proto.Size(d); size > maxDatagram {
			t.Errorf("a digest of %d bytes with %d devices", size, len(d.Devices))
		}
		for _, dev := range d.Devices {
			if dev != loads[seen] {
				t.Fatalf("device %d is %s", seen, dev.Device)
			}
			seen++
		}
	}
	if seen != len(loads) || len(digests) > 20 {
		t.Errorf("%d of %d devices in %d digests", seen, len(loads), len(digests))
	}
	if len(split("n", 1, nil)) != 0 {
		t.Error("a digest of nothing")
	}
}

// TestDigests: every device is told at each heartbeat under a rising number, a
// change soon, an end several times.
func TestDigests(t *testing.T) {
	t.Parallel()
	e := newStub(t)
	n := newMesh(t).start("a", everything, with(e))
	target := n.loadStub(t, e, "i", 2, 1)
	s := mustOpen(t, n, target, call("/hold", true))
	await(t, "the lease is told", func() bool { return n.load("i").GetRunning() == 1 })
	_ = s.Close()
	ack, err := n.Command(within(t, 30*time.Second), "a", deviceOf(n, 0), &wire.UnloadModel{Instance: "i", Epoch: 1})
	mustCode(t, ack, err, "")
	ends := func() (ends int) {
		for _, d := range n.told() {
			for _, dev := range d.Devices {
				for _, in := range dev.Instances {
					if in.State == wire.InstanceState_INSTANCE_STATE_GONE {
						ends++
					}
				}
			}
		}
		return ends
	}
	await(t, "the end is told several times", func() bool { return ends() >= 3 })
	heard := len(n.told())
	await(t, "heartbeats of both devices", func() bool {
		seen := map[string]int{}
		for _, d := range n.told()[heard:] {
			for _, dev := range d.Devices {
				seen[dev.Device]++
			}
		}
		return seen[string(deviceOf(n, 0))] >= 2 && seen[string(deviceOf(n, 1))] >= 2
	})
	last := map[string]uint64{}
	for _, d := range n.told() {
		if d.Node != "a" || d.Boot != n.cfg.Boot || proto.Size(d) > maxDatagram {
			t.Fatalf("digest %v", d)
		}
		for _, dev := range d.Devices {
			if dev.Seq <= last[dev.Device] {
				t.Fatalf("%s went from %d to %d", dev.Device, last[dev.Device], dev.Seq)
			}
			last[dev.Device] = dev.Seq
		}
	}
}

func TestDeviceFaultIsTold(t *testing.T) {
	t.Parallel()
	faults := &devices.Faults{}
	n := newMesh(t).start("a", everything, func(c *Config) { c.Devices.Faults = faults })
	faults.Set(deviceOf(n, 1), "Xid 79: fallen off the bus")
	await(t, "the fault is told", func() bool {
		for _, d := range n.told() {
			for _, dev := range d.Devices {
				if dev.Device == string(deviceOf(n, 1)) && strings.HasPrefix(dev.Health, "Xid 79") {
					return true
				}
			}
		}
		return false
	})
}

func TestFaultFileIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "faults.json")
	n := newMesh(t).start("a", everything, func(c *Config) { c.Devices.FaultFile = path })
	id := deviceOf(n, 0)
	if err := os.WriteFile(path, []byte(`{"`+string(id)+`": {"xid": 95}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the fault is told", func() bool { return n.healthOf(id) == "xid 95: uncontained memory error" })
	if health := n.healthOf(deviceOf(n, 1)); health != "ok" {
		t.Errorf("the other device reads %q", health)
	}
}

func TestUsage(t *testing.T) {
	for text, want := range map[string]usage{
		`{"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}`:                            {12, 5},
		`data: {"usage":null}` + "\n\n" + `data: {"usage": { "completion_tokens" : 7, "prompt_tokens": 3}}`: {3, 7},
		`{"usage":{"prompt_tokens":4}}`: {4, 0},
		`{"usage":{"prompt_tokens":9,"completion_tokens":1}} and data: {"usage":null}`: {9, 1},
	} {
		if got, ok := usageOf([]byte(text)); !ok || got != want {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", `"usage"`, `{"usage":{}}`, `{"usage":{"prompt_tokens":"x"}}`, strings.Repeat(`"usage":`, 100)} {
		if got, ok := usageOf([]byte(text)); ok {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add([]byte(`{"usage":{"prompt_tokens":12,"completion_tokens":5}}`), 3)
	f.Add([]byte(`"usage""usage"usage"`), 0)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if got, want := lastKey(b), bytes.LastIndex(b, usageKey); got != want {
			t.Fatalf("the last key is at %d, not at %d", got, want)
		}
		var whole, torn, once tally
		whole.add(b)
		at = max(0, min(at, len(b)))
		torn.add(b[:at])
		torn.add(b[at:])
		once.last = b
		u := whole.usage()
		if u.prompt < 0 || u.completion < 0 {
			t.Errorf("%v", u)
		}
		if string(whole.tail) != string(torn.tail) && !bytes.HasSuffix(b[:at], eventEnd) && !bytes.HasSuffix(b[:max(0, len(b)-1)], eventEnd) {
			t.Errorf("torn at %d, %d bytes of tail are others than %d", at, len(torn.tail), len(whole.tail))
		}
		if len(b) <= tailSize && once.usage() != u {
			t.Errorf("in one piece %v, else %v", once.usage(), u)
		}
	})
}

// TestUsageIsFoundHoweverItComes: in a piece of its own, after the others, or torn.
func TestUsageIsFoundHoweverItComes(t *testing.T) {
	answer := strings.Repeat("data: {\"usage\":null}\n\n", 300) + "data: {\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n"
	for _, size := range []int{1, 7, 23, 100, 5000, 1 << 20} {
		for _, how := range []string{"then its end", "with its end"} {
			var c tally
			for at := 0; at < len(answer); at += size {
				piece := answer[at:min(at+size, len(answer))]
				if how == "with its end" && at+size >= len(answer) && len(c.tail) == 0 {
					c.last = []byte(piece)
				} else {
					c.add([]byte(piece))
				}
			}
			if u := c.usage(); u != (usage{12, 5}) {
				t.Errorf("in pieces of %d, %s: %v", size, how, u)
			}
		}
	}
}

func TestEventsStandForTokens(t *testing.T) {
	var c tally
	for range 10 {
		c.add([]byte("data: {\"choices\":[]}\n\n"))
	}
	c.add([]byte("data: [DONE]\n\n"))
	if u := c.usage(); u.completion != 9 {
		t.Errorf("%v", u)
	}
}

func TestRestartDelays(t *testing.T) {
	for before, want := range []time.Duration{0, firstDelay, 2 * firstDelay, 4 * firstDelay} {
		if got := restartDelay(before); got != want {
			t.Errorf("after %d failures: %s, want %s", before, got, want)
		}
	}
	if got := restartDelay(mostFailures); got != lastDelay {
		t.Errorf("after many: %s", got)
	}
}

// panicky has a device's actor panic at each LoadModel.
type panicky struct{}

func (panicky) Check(engine.Spec) error                 { panic("broken preset") }
func (panicky) Open(engine.Spec) (engine.Engine, error) { return nil, errors.New("not asked") }
func noFile(context.Context, *wire.LoadModel, func(float64)) (string, error) {
	return "", errors.New("not asked")
}

// TestPanickingActorComesBack: however often; the library's own strategy ends it at
// the eleventh time.
func TestPanickingActorComesBack(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	s := &System{cfg: Config{Node: "a", Log: log}, metrics: newMetrics(nil)}
	s.system = newActorSystem(log)
	sup := &supervisor{log: log, restarts: s.metrics.restarts}
	seq := new(atomic.Uint64)
	props := actor.PropsFromProducer(func() actor.Actor {
		return witnessed{gpu.New(gpu.Config{Node: "a", Device: devices.Device{ID: "gpu/1"}, Engines: panicky{}, Path: noFile, Seq: seq,
			Publish: func(*wire.DeviceLoad) {}, Metrics: gpu.NewMetrics(nil), Log: log}), log}
	}, actor.WithGuardian(instantly{sup}), actor.WithSupervisor(sup))
	pid, err := s.system.Root.SpawnNamed(props, "gpu/1")
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for i := range 15 {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		_, err := s.ask(ctx, "a", pid, &wire.LoadModel{Instance: "i", Deployment: "d"})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("panic %d: %v", i, err)
		}
		ack, err := s.ask(within(t, 30*time.Second), "a", pid, &wire.Describe{})
		mustCode(t, ack, err, "")
		if ack.Load.Seq <= last {
			t.Fatalf("digest %d after %d: it would be taken for an old one", ack.Load.Seq, last)
		}
		last = ack.Load.Seq
	}
	if err := stopActor(within(t, 30*time.Second), s.system, pid); err != nil {
		t.Error(err)
	}
}

// instantly restarts without the delays, which TestRestartDelays is about.
type instantly struct{ *supervisor }

func (s instantly) HandleFailure(a *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any) {
	rs.Reset()
	s.supervisor.HandleFailure(a, parent, child, rs, reason, message)
}
