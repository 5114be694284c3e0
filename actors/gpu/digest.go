package gpu

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// MaxDevice is how many bytes one device may take in a digest: a datagram of 1,200
// less what surrounds the device in it.
const MaxDevice = 1200 - 81

const (
	maxReason = 200
	maxHealth = 100
)

// prefillTPS is what the engine says of itself, or what requests have shown.
func (in *inst) prefillTPS() float64 {
	if in.busy.PrefillTPS > 0 {
		return in.busy.PrefillTPS
	}
	if tps := in.pace.TPS(); tps > 0 {
		return tps
	}
	return float64(in.prefill)
}

// queued is work in the engine beyond the leases: of an engine that others use too.
func (in *inst) queued() int {
	if !in.busy.Known {
		return 0
	}
	return max(0, in.busy.Running+in.busy.Queued-max(in.leases, 0))
}

func (t *table) digest(in *inst, now time.Time) *wire.InstanceLoad {
	f := t.facts(in)
	d := &wire.InstanceLoad{
		Instance: string(in.id), Deployment: in.load.GetDeployment(), Version: in.load.GetVersion(), Epoch: in.epoch,
		State: in.state, Reason: in.reason, Slots: uint32(t.slots(in)), Running: uint32(in.leases + in.gate.Granted()), Queued: uint32(in.queued()),
		KvUse: float32(in.busy.KVUse), BacklogSeconds: float32(in.gate.Backlog(&f, now)), PrefillTps: float32(in.prefillTPS()),
		DecodeTps: float32(in.decode), Context: in.context, LoadSeconds: float32(in.loadSeconds),
		Devices: in.load.GetDevices(), Adapters: in.marks(), Phase: in.phase,
		Grants: t.grants, Paced: f.PrefillTPS > 0,
		Ceiling: uint32(in.slots), SlotsReason: reasons[in.why], Can: uint32(in.able.Can), Cannot: uint32(in.able.Cannot), TokensPerSecond: float32(in.rate.at(now)),
	}
	if in.holds() {
		d.MemoryReserved, d.MemoryMeasured = in.load.GetMemoryBytes(), in.measured
	}
	if in.unloadable() {
		d.IdleSeconds, d.ServedSeconds, d.Demand = seconds(now.Sub(in.usedAt)), max(seconds(now.Sub(in.readyAt)), 1), float32(in.demand.At(now))
	}
	if in.waiting && in.state == wire.InstanceState_INSTANCE_STATE_LOADING || in.gathers() && !in.spent {
		d.Phase = phaseMemory
	}
	return d
}

func seconds(d time.Duration) uint32 { return uint32(min(max(d.Seconds(), 0), math.MaxUint32)) }

// phaseMemory is an instance's phase while it waits for memory.
const phaseMemory = "memory"

// loadOf is the instance's load as it travels with an answer.
func (t *table) loadOf(in *inst, now time.Time) spec.Load {
	f := t.facts(in)
	return spec.Load{
		Instance: in.id, Ready: in.state == wire.InstanceState_INSTANCE_STATE_READY && !t.draining && !t.quarantined(),
		Slots: t.slots(in), Running: in.leases + in.gate.Granted(), Queued: in.queued(), KVUse: in.busy.KVUse, BacklogSeconds: in.gate.Backlog(&f, now),
		Paced: f.PrefillTPS > 0, PrefillTPS: in.prefillTPS(), DecodeTPS: float64(in.decode),
	}
}

// snapshot is the whole device, instances in the order of their ids.
func (t *table) snapshot(now time.Time) *wire.DeviceLoad {
	d := &wire.DeviceLoad{
		Device: string(t.device.ID), Kind: t.device.Kind, Name: clip(t.device.Name, 100), MemoryTotal: t.device.MemoryTotal,
		MemoryFree: t.free(), Health: device.Healthy, Draining: t.draining,
	}
	if t.sampled {
		d.Health, d.Utilisation = clip(t.reading.Health, maxHealth), t.reading.Utilisation
	}
	if t.quarantined() {
		d.Health = clip(t.fault.Text, maxHealth)
	}
	for _, in := range t.instances {
		d.Instances = append(d.Instances, t.digest(in, now))
	}
	for _, f := range t.gone {
		d.Instances = append(d.Instances, proto.CloneOf(f.load))
	}
	slices.SortFunc(d.Instances, func(a, b *wire.InstanceLoad) int { return cmp.Compare(a.Instance, b.Instance) })
	return d
}

// told counts the farewells that a digest has carried.
func (t *table) told() {
	for id, f := range t.gone {
		if f.left--; f.left <= 0 {
			delete(t.gone, id)
		}
	}
}

// fits tells whether the device may hold what it holds: its digest has room for it,
// whatever the instances' numbers grow to.
func (t *table) fits() bool {
	if len(t.instances) > maxInstances {
		return false
	}
	d := t.snapshot(time.Time{})
	d.Seq = 1 << 40
	for _, i := range d.Instances {
		i.Running, i.Queued, i.Slots, i.Ceiling, i.Context = 1<<14, 1<<14, 1<<14, 1<<14, 1<<21
		i.KvUse, i.BacklogSeconds, i.PrefillTps, i.DecodeTps = 1, 1, 1, 1
		i.MemoryReserved, i.MemoryMeasured, i.Reason = 1<<42, 1<<42, strings.Repeat("x", shortReason)
		i.IdleSeconds, i.ServedSeconds, i.Demand, i.LoadSeconds, i.TokensPerSecond = 1<<24, 1<<24, 1, 1, 1
		i.Phase, i.Progress, i.SlotsReason = phaseMemory, 100, wire.SlotsReason_SLOTS_REASON_MACHINE
		i.Shares, i.Sharing = 1<<14, 1<<14
	}
	return fitting(Parts(d))
}

func eachReason(d *wire.DeviceLoad, most int) {
	for _, i := range d.Instances {
		i.Reason = clip(i.Reason, most)
	}
}

// clip is s, valid and cut to at most n bytes.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
