package balance

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/fair"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// An Instance is one loaded copy as this gateway sees it. The Table's lock
// guards it.
type Instance struct {
	spec.Target
	Deployment string
	Version    uint64
	State      wire.InstanceState
	Slots      int
	Running    int // as last told
	Queued     int
	KVUse      float64
	Backlog    float64 // seconds, as last told
	PrefillTPS float64
	DecodeTPS  float64

	able     spec.Abilities
	context  int       // tokens of one request; 0: not told
	adapters []uint32  // marks of those that are loaded, as last told
	bringing []brought // that a request of this gateway's has had loaded, and that are not told as loaded yet

	reason      string    // why it does not serve, as its device tells
	phase       string    // of its load
	loadSeconds float64   // that its load takes; 0: not known
	waking      time.Time // when a request of this gateway's last asked it to load

	own     int       // requests of this gateway that are under way on it
	since   int       // its requests begun less those ended since it was last heard of
	read    time.Time // when its backlog, and what this gateway has sent since, will have been read
	busy    time.Time // when it was last told, or made, to have something to do
	started time.Time // when its engine was seen to begin to serve
	heard   time.Time
	standing
	sharing  sharing
	seq      uint64
	run      uint64 // number of the engine's that serves, as far as digests tell; no two of a table's are the same
	draining bool   // its device is
	shunned  bool   // it failed or refused; until it is heard of again
	gone     bool
	node     *member
	pool     *pool // that it is in until it is gone
	breaker  breaker
	table    *Table
	number   uint64        // of its name
	shelf    uint64        // of its device's, where answers are kept
	held     prefix.Holder // which beginnings of prompts it holds

	utilisation int    // of its device, percent
	reserved    uint64 // bytes of memory; 0: none, or not told
	spare       uint64 // of its device's memory, for one more instance
}

// A Member is a node as the routing table needs it.
type Member struct {
	Node     spec.NodeID
	Region   string
	Zone     string
	Draining bool
}

type member struct {
	Member
	alive bool
	boot  uint64
	born  time.Time // when its present process was first heard of
}

// A Query says what a request needs.
type Query struct {
	Deployment   string
	Version      uint64   // in the state
	Regions      []string // allowed; empty: any
	Region       string   // of this gateway
	PromptTokens int
	Adapter      uint32            // mark of the one that it is for; 0: none
	Exclude      []spec.InstanceID // tried already
	Died         Run               // tried already too, but may be tried once it has started anew
	Avoid        []spec.NodeID     // failed already: only if nobody else has room
	Expected     bool              // the state places an instance of it, so waiting may help
	Tenant       string            // whose it is, for the order of those who wait
	Priority     fair.Priority     // likewise
	OutputTokens int               // that it is expected to have answered; 0: as usual
	Deadline     time.Time         // of the client: it is not worth waiting beyond; zero: none
	Broke        time.Time         // when the answer broke off that its client has begun to read: whoever may go on with it is waited for; zero: none has
	Hasty        bool              // another deployment may serve: only for those that are full is waited
	Prompt       *prefix.Prompt    // its beginnings; nil: they are not named
	Session      uint64            // that it belongs to, by Session; 0: none
	Kept         uint64            // of the answer that may be kept for it, by its canonical request; 0: none may
	Why          *Reasons          // nil: nobody asks
	Canary       uint64            // version of the deployment's canary; 0: it has none
	Own          uint64            // the deployment's own, where it has a canary
	Apart        bool              // the two may be of different models
	Pinned       bool              // the rest of an answer that Version alone can go on with
	Shared       bool              // it may go to its engine together with others
	Sharing      spec.Ability      // and does so at instances that can do that; 0: at all that share

	expects prefix.Expectation
	came    time.Time // when it began to wait, the first time
	stage   stage     // of being counted
	charged float64   // that its tenant is counted to have had for it, where it has waited
	refused int       // times that an instance that was thought to have room had none
}

// A Run is the life of one engine.
type Run struct {
	Instance spec.InstanceID // empty: none
	number   uint64
}

// A Standing tells why nothing was picked.
type Standing uint8

// Why nothing was picked, best hope first.
const (
	Picked    Standing = iota
	Full               // somebody is ready, nobody has room
	Bringing           // somebody is ready and loads the request's adapter
	Warming            // nobody is ready; somebody is being loaded, or is when asked
	NotReady           // somebody is there, nobody is ready
	Dying              // the engine that has failed the request may be about to start anew
	Absent             // nobody is there
	Exhausted          // whoever is there has been tried
)

// Pick chooses among the instances of one deployment: of the version in the
// state, or, where none of those is ready, of the newest version that is, which
// may be newer than this node's copy of the state; in the
// gateway's own region as long as that has room, and on a node to be avoided
// only where no other has; the least expected seconds; of about equals the least crowded,
// else at random. One in exploreOne goes where nothing was to do of late,
// so that what is believed of that instance is seen to be true. Of very many a sample
// is looked at, with those that hold most of the prompt, and all only where nobody of
// these is to be had.
// It never waits and never allocates.
func Pick(list []*Instance, q *Query, now time.Time, stale time.Duration, random func() uint64) (*Instance, Standing) {
	var best choice
	if len(list) > sample {
		step := sampleStep
		if len(list)%step == 0 {
			step = 1
		}
		for k, at := 0, int(random()%uint64(len(list))); k < sample; k++ {
			if in := list[at]; in.Version == q.Version && in.takes(q, now, stale) {
				best.weigh(in, q, now, random)
			}
			at = (at + step) % len(list)
		}
		for _, h := range q.expects.Likely() { // which the sample may have missed
			if in, ok := h.Owner.(*Instance); ok && in.Version == q.Version && in.takes(q, now, stale) {
				best.weigh(in, q, now, random)
			}
		}
		if best.in != nil && best.place == 0 {
			return best.made(random), Picked
		}
		best = choice{}
	}
	version, standing := stand(list, q, now)
	if standing != Full && standing != Bringing {
		return nil, standing
	}
	for _, in := range list {
		if in.Version == version && in.takes(q, now, stale) {
			best.weigh(in, q, now, random)
		}
	}
	if best.in == nil {
		return nil, standing
	}
	return best.made(random), Picked
}

// patient tells whether q is the rest of an answer that its client has begun to read.
func (q *Query) patient() bool { return !q.Broke.IsZero() }

// silent tells whether the instance's node has failed such a request and was not heard of since:
// it may have died with all that it has.
func (in *Instance) silent(q *Query) bool {
	return q.patient() && slices.Contains(q.Avoid, in.Node) && !in.heard.After(q.Broke)
}

// takes tells whether the request may go there now.
func (in *Instance) takes(q *Query, now time.Time, stale time.Duration) bool {
	return in.ready(q, now) && in.room(q, now, stale) && !excluded(in, q) && !in.brings(q, now)
}

// servable finds the version to serve: Full says that one is ready.
//
// A canary serves others' requests only where nobody else does, nor will once loaded.
func servable(list []*Instance, q *Query, now time.Time) (version uint64, s Standing) {
	s = Absent
	tried, spare, coming := false, false, false
	for _, in := range list {
		switch {
		case q.Pinned && in.Version != q.Version:
		case excluded(in, q):
			tried = tried || in.reachable(q) && !in.silent(q) // though it may be starting again: it is not tried twice
		case !in.ready(q, now):
			if s == NotReady || s == Dying || s == Absent {
				s = in.hope(q, s)
			}
			coming = coming || q.Canary > 0 && in.Version != q.Canary && in.warming(q)
		case in.Version == q.Version:
			return q.Version, Full
		case in.Version == q.Canary:
			spare = true
		case in.Version >= version:
			version, s = in.Version, Full
		}
	}
	if spare && s != Full && !coming {
		return q.Canary, Full
	}
	if s != Full && tried && !(q.patient() && s != Absent) {
		s = Exhausted
	}
	return version, s
}

func (in *Instance) ready(q *Query, now time.Time) bool {
	return in.breaker.lets(now) && !in.died(q) && in.State == wire.InstanceState_INSTANCE_STATE_READY && !in.draining && !in.shunned && !in.gone &&
		in.node.alive && !in.node.Draining && allowedRegion(in.node.Region, q.Regions)
}

// place ranks where the instance is, the best first.
func (in *Instance) place(q *Query) int {
	rank := 0
	if in.node.Region != q.Region {
		rank = 1
	}
	if slices.Contains(q.Avoid, in.Node) {
		rank += 2
	}
	return rank
}

// hope is how far an instance that is not ready betters s.
func (in *Instance) hope(q *Query, s Standing) Standing {
	switch {
	case in.died(q) && in.State == wire.InstanceState_INSTANCE_STATE_READY:
		if s == Absent && in.reachable(q) {
			return Dying
		}
	case in.warming(q):
		return Warming
	case in.coming(q):
		return NotReady
	}
	return s
}

// coming tells whether the instance may yet become ready.
func (in *Instance) coming(q *Query) bool {
	return !in.gone && in.State != wire.InstanceState_INSTANCE_STATE_FAILED && allowedRegion(in.node.Region, q.Regions)
}

// room tells whether one more request finds a slot, and is read soon, or has it in
// common with others. An instance not
// heard of for long counts as full, and one that tells no slots as having one. Where
// this gateway has a reservation it is granted places, and takes none, unless it hears
// of none.
func (in *Instance) room(q *Query, now time.Time, stale time.Duration) bool {
	if now.Sub(in.heard) > stale {
		return false
	}
	if in.shared(q) {
		return in.crowd(q) < 1
	}
	if in.load() >= max(in.Slots, 1) {
		return false
	}
	if !in.grants {
		return true
	}
	if in.paced && in.backlog(now) >= openBacklog && in.load() > 0 {
		return false
	}
	return in.told == 0 && q.refused < maxOptimistic || in.mute(now)
}

// load is the requests on the instance: what it told, corrected by what this
// gateway did since, and never less than this gateway's own.
func (in *Instance) load() int {
	return max(in.own, in.Running+in.Queued+in.since)
}

func allowedRegion(region string, allowed []string) bool {
	return len(allowed) == 0 || slices.Contains(allowed, region)
}

// excluded tells whether the instance was tried. One of a node that has started since an answer broke off may be
// tried again: it was the node that failed.
func excluded(in *Instance, q *Query) bool {
	return q.Pinned && in.Version != q.Version || slices.Contains(q.Exclude, in.Target.Instance) && !(q.patient() && in.node.born.After(q.Broke))
}

// died tells whether the engine that serves is the one that has failed the request.
func (in *Instance) died(q *Query) bool {
	return q.Died.Instance != "" && q.Died == Run{in.Target.Instance, in.run}
}
