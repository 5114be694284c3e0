package gpu

import (
	"time"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/actors/gate"
	"github.com/lotabots/lotabots/actors/instance"
	"github.com/lotabots/lotabots/actors/memory"
	"github.com/lotabots/lotabots/actors/slots"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A table is the device's state. It has no goroutine, clock or actor: the actor
// calls it and does what it says.
type table struct {
	device    device.Device
	reading   device.Reading
	sampled   bool            // reading has been read
	fault     device.Event    // that keeps work away; no Kind: none
	accepted  device.Baseline // what an operator has resumed the device with
	draining  bool
	grants    bool // places are granted to gateways
	runs      uint64
	instances map[spec.InstanceID]*inst
	guests    map[booking]*inst
	leases    map[Lease]*lease
	spare     []*lease // to be used again
	seen      epochs
	gone      map[spec.InstanceID]*farewell
	abilities func(preset string, options map[string]string) spec.Abilities // nil: nobody knows
	evict     evict                                                         // memory.Evict, but where a test compares it with others
}

// An evict chooses who goes so that so many bytes come back.
type evict func(candidates []memory.Candidate, need uint64, now time.Time, p memory.Policy) ([]memory.Candidate, *memory.Refusal)

// An inst is one instance that the device holds.
type inst struct {
	load      *wire.LoadModel
	id        spec.InstanceID
	run       uint64 // tells its actor from an earlier one of the same id
	epoch     uint64
	state     wire.InstanceState
	reason    string
	waiting   bool // for memory that leaving instances still hold; nothing has been started
	leaving   bool // its actor has been told to stop
	spent     bool // it has failed: its engine is gone for good
	unstarted bool // it was refused: it never had an actor
	residency
	spread *spread // of an instance over several devices; nil: over this one alone
	guest  *guest  // of memory that is held for another device's instance
	engine engine.Engine
	// adapters are those that have been asked for; empty while there is no engine.
	adapters map[string]*adapter
	able     spec.Abilities   // as its preset has it; a running engine may know better
	slots    int              // that its engine takes
	limit    slots.Controller // of those that it gets; none, where they are not to be found
	why      slots.Reason     // limit was last changed
	resized  []slots.Reason   // that the actor has not been told of
	context  uint32

	phase   string // of its start
	percent uint32 // of the phase

	predicted uint64 // bytes that it was placed with; load says what is reserved

	lane    *Lane // nil: it has had no engine yet, or every request comes as a message
	leases  int
	streams int // of leases whose answers come piece by piece
	crowd   slots.Crowd
	unread  int       // prompt tokens of leases whose first byte has not come
	gate    gate.Gate // of the places besides
	pace    gate.Pace
	busy    engine.Load
	// elsewhere is what it was seen to have on other devices that it spreads over.
	elsewhere map[spec.DeviceID]uint64
	measured  uint64  // bytes: the most that its engines' processes were seen to have on the device; 0: not seen
	most      uint64  // the same of the engine that it has now
	steady    uint64  // the least that the engine was seen to have in the host's memory
	engines   int     // that it has had
	prefill   speed   // tokens/s
	decode    speed   // tokens/s of one stream
	rate      rate    // of tokens, of prompts and answers
	holdTime  float64 // seconds that a lease is held, smoothed
}

// actorless tells whether no actor of the instance's runs: it may be taken away at once.
func (in *inst) actorless() bool {
	return !in.sleeping && (in.waiting || in.unstarted || in.gathers() || in.state == wire.InstanceState_INSTANCE_STATE_COLD)
}

type lease struct {
	inst     *inst
	adapter  *adapter     // nil: none
	prompt   int          // counted in inst.unread; 0 once the first byte has come
	ahead    int          // tokens that were unread when it came, its own included
	since    slots.Passed // of inst.crowd, when it came
	streamed bool
	began    time.Time
}

// A farewell is an instance that is gone, told some times more so that no lost
// datagram keeps it alive anywhere.
type farewell struct {
	load *wire.InstanceLoad
	left int
}

const farewells = 4

// ableOf is what is known of an engine before it runs.
func (t *table) ableOf(m *wire.LoadModel) spec.Abilities {
	if t.abilities == nil {
		return spec.Abilities{}
	}
	return t.abilities(m.GetEngine(), m.GetOptions())
}

func newTable(d device.Device) *table {
	return &table{device: d, instances: map[spec.InstanceID]*inst{}, guests: map[booking]*inst{}, leases: map[Lease]*lease{},
		seen: newEpochs(maxEpochs), gone: map[spec.InstanceID]*farewell{}, evict: memory.Evict}
}

// change takes in what an instance's actor tells. It returns the instance if its
// actor is to be stopped now. One that has failed stays so: its memory may have
// been given to another.
func (t *table) change(m *instance.Changed, now time.Time) (stop *inst) {
	in := t.instances[m.Instance]
	if in == nil || in.run != m.Run || in.leaving || in.spent || in.sleeping {
		return nil
	}
	in.adapters = map[string]*adapter{} // another engine has none
	if in.spread != nil && m.Engine == nil {
		in.spread.settled = false // the others are to know the next engine
	}
	if m.Engine == nil && in.engine != nil {
		in.ranOut(m.Reason, now)
	}
	if m.Engine != nil && in.engine == nil {
		in.engines++
		in.most, in.steady = 0, 0
	}
	in.engine, in.spent = m.Engine, m.State == wire.InstanceState_INSTANCE_STATE_FAILED
	if m.Engine != nil {
		in.slots, in.context = slotsOf(in.load, m.Engine), contextOf(in.load, m.Engine)
		in.takes()
		if e, tells := engine.As[engine.Able](m.Engine); tells {
			in.able = e.Abilities().Over(in.able)
		}
	}
	if in.state == wire.InstanceState_INSTANCE_STATE_DRAINING {
		if m.Engine == nil { // what it drained for is lost
			in.leaving = true
			return in
		}
		return nil
	}
	if m.State == wire.InstanceState_INSTANCE_STATE_READY {
		in.loaded(now)
	}
	in.state, in.reason, in.phase = m.State, m.Reason, ""
	in.percent = 0
	return nil
}

// defaultSlots is for engines that cannot tell how many requests they serve at a time.
const defaultSlots = 8

func slotsOf(load *wire.LoadModel, e engine.Engine) int {
	switch {
	case e.Slots() > 0:
		return int(e.Slots())
	case load.GetSlots() > 0:
		return int(load.GetSlots())
	}
	return defaultSlots
}

func contextOf(load *wire.LoadModel, e engine.Engine) uint32 {
	if e.Context() > 0 {
		return e.Context()
	}
	return load.GetContext()
}

// progress takes in how far a start is.
func (t *table) progress(m *instance.Progress) bool {
	in := t.instances[m.Instance]
	if in == nil || in.run != m.Run || in.engine != nil {
		return false
	}
	in.phase, in.percent = m.Phase, m.Percent
	return true
}

// measure takes in what a probe has read.
func (t *table) measure(m *instance.Measured, now time.Time) bool {
	in := t.instances[m.Instance]
	if in == nil || in.run != m.Run {
		return false
	}
	in.busy = m.Load
	t.tells(in, m, now)
	if t.device.Kind != device.KindNVIDIA && m.Load.Resident > 0 {
		in.measured = max(in.measured, m.Load.Resident)
		if in.steady == 0 || m.Load.Resident < in.steady {
			in.steady = m.Load.Resident
		}
	}
	return true
}

// ended takes the instance away whose actor has stopped; one that was only
// unloaded stays. Others may start with the memory it held: see arrange.
func (t *table) ended(in *inst) {
	switch {
	case t.instances[in.id] != in:
	case in.sleeping && !in.leaving:
		in.sleeping = false
	default:
		delete(t.instances, in.id)
		t.bidFarewell(in)
	}
}

func (t *table) bidFarewell(in *inst) {
	last := t.digest(in, in.readyAt)
	last.State, last.Running, last.Queued = wire.InstanceState_INSTANCE_STATE_GONE, 0, 0
	t.gone[in.id] = &farewell{load: last, left: farewells}
}
