package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// An Explanation says what would become of a deployment, and why.
type Explanation struct {
	Estimate Estimate
	Verdicts []Verdict // those that would take a replica first, the next one first among them
	Actions  []Action  // that Plan would return now for the deployment, and for others that make room for it
}

// A Verdict is what one device says to one more replica.
type Verdict struct {
	Node   spec.NodeID
	Device spec.DeviceID
	Region string
	Kind   string
	Name   string

	Replicas int               // that Plan would put there now
	Refusal  string            // why it takes none; empty: it may take one
	Needs    uint64            // bytes that a replica takes there
	Source   wire.MemorySource // whose word that is
	Learnt   Learnt            // of the same on such devices; no Loads: nothing
	Total    uint64            // bytes
	Free     uint64            // bytes beside what is always loaded there, and beside what is kept free
	Short    uint64            // bytes that it lacks; 0 with a Refusal: it is not for want of memory
	Evicts   Evicts
	Standing string // what speaks for the device and against it beside memory, in words; empty: nothing, or it refuses
}

// Evicts is what has to leave the device's memory before a replica is loaded there.
// Which of the instances go, the device chooses by their use.
type Evicts struct {
	Bytes uint64 // that are missing; 0: nobody has to go
	Among []*wire.InstanceLoad
	At    time.Time // of what is known of them
}

// Explain tells what Plan would do if d were a deployment of w, in place of one of
// the same name where there is one, and what each device says to it. m is d's model
// where the state does not have it. Neither w nor o is changed.
func Explain(w Wanted, o Observed, d *wire.Deployment, m *wire.Model) Explanation {
	w.Deployments = slices.DeleteFunc(slices.Clone(w.Deployments), func(x *wire.Deployment) bool { return x.Name == d.Name })
	w.Deployments = append(w.Deployments, d)
	if m != nil {
		w.Models = append(slices.DeleteFunc(slices.Clone(w.Models), func(x *wire.Model) bool { return x.Name == m.Name }), m)
	}
	o.Failures = seen(o, d)
	p := survey(w, o)
	m = p.models[d.Model]
	e := Explanation{Estimate: Estimated(d, m, p.adaptersOf(d)...)}
	replicas := map[spec.DeviceID]int{}
	for _, a := range Plan(w, o) {
		if a.Deployment != d.Name && a.For != d.Name {
			continue
		}
		e.Actions = append(e.Actions, a)
		if a.Kind == Place && a.Deployment == d.Name {
			for _, id := range append([]spec.DeviceID{a.Device}, a.Others...) {
				replicas[id]++
			}
		}
	}
	s := p.searchOf(d, m, p.tally(p.current(d)))
	for _, dev := range p.ranked(&s) {
		v := p.verdict(&s, dev)
		v.Replicas = replicas[dev.id]
		e.Verdicts = append(e.Verdicts, v)
	}
	return e
}

// seen adds to what is remembered of failures those that devices tell of: only the
// leader remembers.
func seen(o Observed, d *wire.Deployment) map[FailureKey]Failure {
	out := maps.Clone(o.Failures)
	if out == nil {
		out = map[FailureKey]Failure{}
	}
	for _, dev := range o.Devices {
		key := FailureKey{d.Name, d.Version, spec.DeviceID(dev.Load.GetDevice())}
		if _, known := out[key]; !known && failed(dev.Load, d) != nil {
			out[key] = Failure{Count: 1, Until: o.Now.Add(time.Minute)}
		}
	}
	return out
}

// failed is the instance of d's version that has failed on the device; nil: none has.
func failed(dev *wire.DeviceLoad, d *wire.Deployment) *wire.InstanceLoad {
	for _, i := range dev.GetInstances() {
		if i.Deployment == d.Name && i.Version == d.Version && i.State == wire.InstanceState_INSTANCE_STATE_FAILED {
			return i
		}
	}
	return nil
}

// current is the replicas that d has already.
func (p *plan) current(d *wire.Deployment) (out []*replica) {
	for _, r := range p.replicas {
		if r.Deployment == d.Name && r.Version == d.Version {
			out = append(out, r)
		}
	}
	return out
}

// ranked lists the devices as the search would choose among them; those that
// refuse come last.
func (p *plan) ranked(s *search) []*device {
	out := slices.Clone(p.devices)
	slices.SortStableFunc(out, func(a, b *device) int {
		ra, rb := p.refuse(s, a), p.refuse(s, b)
		if c := cmp.Compare(b2i(ra != fine), b2i(rb != fine)); c != 0 {
			return c
		}
		if ra != fine {
			return cmp.Or(-cmp.Compare(ra, rb), cmp.Compare(a.id, b.id))
		}
		ka, kb := s.rank(a), s.rank(b)
		return b2i(kb.less(&ka)) - b2i(ka.less(&kb))
	})
	return out
}

func (p *plan) verdict(s *search, dev *device) Verdict {
	v := Verdict{Node: dev.node, Device: dev.id, Region: dev.site.node.Region, Kind: dev.load.Kind, Name: dev.load.Name, Total: dev.load.MemoryTotal}
	spare := dev.load.MemoryTotal / headroom
	if !s.onDemand {
		spare += dev.largest
	}
	v.Free = dev.free - min(dev.free, spare)
	v.Needs, v.Source = s.memory.needs(dev.load)
	v.Learnt, _ = s.memory.on(dev.load)
	switch p.refuse(s, dev) {
	case fine:
		v.Evicts, v.Standing = p.evicts(s, dev), s.words(dev)
	case tooFull:
		v.Short = v.Needs - v.Free
		v.Refusal = fmt.Sprintf("%d MiB short: it has %d MiB free beside a head-room of %d MiB", ceilMiB(v.Short), v.Free>>20, (dev.load.MemoryTotal/headroom)>>20)
		if !s.onDemand && dev.largest > 0 {
			v.Refusal += fmt.Sprintf(" and %d MiB for the largest that is loaded on demand there", dev.largest>>20)
		}
	case noEngine:
		v.Refusal = "its node cannot run the engine " + s.d.Engine + ": " + p.o.lacks(dev.node, s.d.Engine)
	case beside:
		v.Refusal = "it is to be apart from " + p.neighbour(s, dev) + ", which is on its node"
	case failedThere:
		v.Refusal = "it failed there, and is tried again after a while"
		if i := failed(dev.load, s.d); i != nil && i.Reason != "" {
			v.Refusal += ": " + i.Reason
		}
	default:
		v.Refusal = p.unusable(s, dev)
	}
	return v
}

// unusable says why nothing of the deployment may go to the device, however empty.
func (p *plan) unusable(s *search, dev *device) string {
	n := p.nodes[string(dev.node)]
	switch {
	case !member(n):
		return "its node is no worker any more"
	case !dev.alive:
		return "its node is dead"
	case n.State == wire.NodeState_NODE_STATE_DRAINING:
		return "its node is draining"
	case dev.load.Draining:
		return "it is draining"
	case !healthy(dev.load):
		return "it is unhealthy: " + dev.load.Health
	case !allowed(s.d, dev.site.node.Region):
		return fmt.Sprintf("its region %q is not allowed; allowed are %s", dev.site.node.Region, strings.Join(s.d.Regions, ", "))
	}
	return "its node is not among those that the deployment names"
}

// neighbour is a deployment on the device's node from which the searched one is to be apart.
func (p *plan) neighbour(s *search, dev *device) string {
	for _, name := range p.strangers[s.d.Name] {
		if slices.ContainsFunc(p.byDeployment[name], func(r *replica) bool { return r.site == dev.site && r.cond != lost }) {
			return name
		}
	}
	return "its own kind"
}

// words tell what a replica's rank on the device is made of, beside memory.
func (s *search) words(dev *device) string {
	var out []string
	say := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	k := s.rank(dev)
	say(k.beside > 0, "%d of its copies are on the device", k.beside)
	say(s.prefer != nil && k.outside == 0, "its node is preferred")
	say(k.node > 0, "%d are on the node", k.node)
	say(k.region > k.node && dev.site.node.Region != "", "%d are in the region", k.region)
	say(k.failures > 0, "it failed there before: %d", k.failures)
	say(s.digest != "" && dev.site.models[s.digest], "the node has the model's file")
	return strings.Join(out, "; ")
}

// evicts is what the device's memory lacks at this moment, though it has been
// promised to nobody for good: others that are loaded on demand have it.
func (p *plan) evicts(s *search, dev *device) (e Evicts) {
	need := s.memory.need(dev)
	if need <= dev.load.MemoryFree {
		return e
	}
	for _, r := range p.replicas {
		if r.OnDemand && r.load != nil && r.load.MemoryReserved > 0 && r.dev == dev {
			e.Among = append(e.Among, r.load)
		}
	}
	if missing := need - dev.load.MemoryFree; len(e.Among) > 0 && missing > leaving(dev.load) {
		e.Bytes, e.At = missing-leaving(dev.load), dev.seen
	}
	return e
}

// leaving is the memory that is on its way back.
func leaving(d *wire.DeviceLoad) (bytes uint64) {
	for _, i := range d.Instances {
		if i.State == wire.InstanceState_INSTANCE_STATE_DRAINING {
			bytes += i.MemoryReserved
		}
	}
	return bytes
}
