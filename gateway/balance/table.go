package balance

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/fair"
	"github.com/lotabots/lotabots/gateway/prefix"
)

// Config of a Table.
type Config struct {
	Region         string        // of this gateway
	DigestInterval time.Duration // of the heartbeat; 0: 1 s. After three without one an instance counts as full.
	QueueTimeout   time.Duration // how long a request waits for room; 0: 10 s
	ReadyTimeout   time.Duration // how long it waits for a first instance; 0: 5 s
	LoadTimeout    time.Duration // how long it waits for one that is being loaded; 0: 5 min
	QueueLength    int           // waiting requests per deployment; 0: 256
	// Reserve tells an instance's actor what waits for it here. It is called with the
	// table locked, and must neither block nor call back. nil: instances are asked
	// only when they are thought to have room.
	Reserve func(spec.Target, spec.Reservation)
	Now     func() time.Time
	Random  func() uint64 // nil: math/rand's
}

// A Table is the routing table of one gateway. All methods may be called at
// any time from anywhere; none blocks but Acquire.
type Table struct {
	cfg   Config
	run   uint64       // by which its reservations are told from those of other processes; never 0
	queue atomic.Int64 // Config.QueueTimeout and Config.LoadTimeout, which may change
	load  atomic.Int64
	mu    struct {
		sync.Mutex
		members   map[spec.NodeID]*member
		instances map[spec.InstanceID]*Instance
		pools     map[string]*pool
		making    map[uint64]struct{} // answers that may be kept, for which a place is taken from here: who asks the same joins
		demands   map[string]*demand  // by deployment, of those that were asked for of late
		devices   map[spec.DeviceID]heard
		waiting   int
		shed      [causes][fair.Bands]uint64
		prefixes  *prefix.Index
		order     []*fair.Item[*waiter] // while those who wait are gone through
		runs      uint64                // of engines that were seen to begin to serve
		told      uint64                // number of the last reservation; it begins with the time, so that a later process's are higher for older builds
	}
}

// heard is the number of a device's last digest.
type heard struct{ boot, seq uint64 }

// A pool is the instances of one deployment and the requests that wait for them.
type pool struct {
	list   []*Instance
	demand *demand
	queue  fair.Queue[*waiter]
	hold   float64 // seconds that a request holds its slot, smoothed
	trust  trust   // in guesses of what its instances hold
	picky  int     // of those who wait, how many may go to fewer instances than others
	shared int     // of those who wait, how many may go together with others
	apart  int     // of those who wait, how many want another version than the others
	turn   int     // of the instances, with whom reservations are left first
}

// NewTable returns an empty table.
func NewTable(cfg Config) *Table {
	if cfg.DigestInterval == 0 {
		cfg.DigestInterval = time.Second
	}
	if cfg.QueueTimeout == 0 {
		cfg.QueueTimeout = 10 * time.Second
	}
	if cfg.ReadyTimeout == 0 {
		cfg.ReadyTimeout = 5 * time.Second
	}
	if cfg.LoadTimeout == 0 {
		cfg.LoadTimeout = 5 * time.Minute
	}
	if cfg.QueueLength == 0 {
		cfg.QueueLength = 256
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Uint64
	}
	t := &Table{cfg: cfg, run: rand.Uint64() | 1}
	t.queue.Store(int64(cfg.QueueTimeout))
	t.load.Store(int64(cfg.LoadTimeout))
	t.mu.members = make(map[spec.NodeID]*member)
	t.mu.instances = make(map[spec.InstanceID]*Instance)
	t.mu.pools = make(map[string]*pool)
	t.mu.making = make(map[uint64]struct{})
	t.mu.demands = make(map[string]*demand)
	t.mu.devices = make(map[spec.DeviceID]heard)
	t.mu.prefixes = prefix.NewIndex(prefixBytes)
	t.mu.told = uint64(max(cfg.Now().UnixMicro(), 0))
	return t
}

// SetQueueTimeout changes how long requests that come from now on wait for room.
func (t *Table) SetQueueTimeout(d time.Duration) { t.queue.Store(int64(d)) }

// SetLoadTimeout changes how long requests wait for an instance that is being loaded.
func (t *Table) SetLoadTimeout(d time.Duration) { t.load.Store(int64(d)) }

// LoadTimeout is how long that is now.
func (t *Table) LoadTimeout() time.Duration { return time.Duration(t.load.Load()) }

func (t *Table) stale() time.Duration { return 3 * t.cfg.DigestInterval }

func (t *Table) poolLocked(deployment string) *pool {
	p := t.mu.pools[deployment]
	if p == nil {
		p = &pool{demand: t.demandLocked(deployment)}
		t.mu.pools[deployment] = p
	}
	return p
}

// poolOf is the instance's; nil: it is gone, and so are all others of its deployment.
func (t *Table) poolOf(in *Instance) *pool {
	if in.gone { // another may have been begun since
		return t.mu.pools[in.Deployment]
	}
	return in.pool
}

func (t *Table) memberLocked(id spec.NodeID) *member {
	m := t.mu.members[id]
	if m == nil {
		m = &member{Member: Member{Node: id}}
		t.mu.members[id] = m
	}
	return m
}

// PutMember says that a node is alive, and where. A node nobody has put is not
// routed to.
func (t *Table) PutMember(m Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.memberLocked(m.Node)
	have.Member, have.alive = m, true
	t.serveAllLocked()
}

// NodeGone says that a node is dead or has left.
func (t *Table) NodeGone(id spec.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memberLocked(id).alive = false
}

// Alive tells whether the node is a live member.
func (t *Table) Alive(id spec.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.mu.members[id]
	return m != nil && m.alive
}

// Observe takes over a node's digest, which arrived at now. Older ones than
// what is known are ignored.
func (t *Table) Observe(d *wire.LoadDigest, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.memberLocked(spec.NodeID(d.GetNode()))
	if d.GetBoot() < m.boot {
		return
	}
	if d.GetBoot() > m.boot {
		m.boot, m.born = d.GetBoot(), now
		for _, in := range t.mu.instances { // what its last process told is void
			if in.node == m {
				t.dropLocked(in)
			}
		}
	}
	for _, dev := range d.GetDevices() {
		id := spec.DeviceID(dev.GetDevice())
		last := t.mu.devices[id]
		if last.boot > m.boot || (last.boot == m.boot && dev.GetSeq() <= last.seq) {
			continue
		}
		t.mu.devices[id] = heard{boot: m.boot, seq: dev.GetSeq()}
		t.observeDeviceLocked(m, dev, now)
	}
	t.hearLocked(m, d.GetPrefixes(), now)
}

func (t *Table) observeDeviceLocked(m *member, dev *wire.DeviceLoad, now time.Time) {
	id := spec.DeviceID(dev.GetDevice())
	spare := spareOf(dev)
	for _, il := range dev.GetInstances() {
		in := t.instanceLocked(spec.InstanceID(il.GetInstance()), il.GetDeployment())
		if in.Device != id {
			in.shelf = prefix.Number(string(id))
		}
		in.node, in.Node, in.Device = m, m.Node, id
		if in.State != il.GetState() && il.GetState() == wire.InstanceState_INSTANCE_STATE_READY {
			in.breaker.reset()
			t.mu.prefixes.Drop(&in.held)
			t.mu.runs++
			in.run, in.started, in.busy = t.mu.runs, now, now
			in.standing = standing{}
		}
		in.Version, in.State = il.GetVersion(), il.GetState()
		in.draining, in.utilisation = dev.GetDraining(), int(dev.GetUtilisation())
		in.learnDigest(&spec.Load{
			Slots: int(il.GetSlots()), Running: int(il.GetRunning()), Queued: int(il.GetQueued()),
			KVUse: float64(il.GetKvUse()), BacklogSeconds: float64(il.GetBacklogSeconds()), Paced: il.GetPaced(),
			PrefillTPS: float64(il.GetPrefillTps()), DecodeTPS: float64(il.GetDecodeTps()), Seq: dev.GetSeq(),
		}, now)
		in.loadSeconds, in.phase, in.reason = float64(il.GetLoadSeconds()), il.GetPhase(), il.GetReason()
		in.adapters = il.GetAdapters()
		in.able = spec.Abilities{Can: spec.Ability(il.GetCan()), Cannot: spec.Ability(il.GetCannot())}
		in.context, in.reserved, in.spare = int(il.GetContext()), il.GetMemoryReserved(), spare
		in.shunned, in.grants = false, il.GetGrants()
		in.sharing.shares, in.sharing.told = int(il.GetShares()), int(il.GetSharing())
	}
	for iid, in := range t.mu.instances {
		if in.Device != id {
			continue
		}
		told := false
		for _, il := range dev.GetInstances() {
			told = told || (il.GetInstance() == string(iid) && il.GetState() != wire.InstanceState_INSTANCE_STATE_GONE)
		}
		if !told {
			t.dropLocked(in)
		}
	}
	t.serveAllLocked()
}

func (t *Table) instanceLocked(id spec.InstanceID, deployment string) *Instance {
	in := t.mu.instances[id]
	if in == nil {
		in = &Instance{Target: spec.Target{Instance: id}, Deployment: deployment, table: t, number: prefix.Number(string(id))}
		in.held.Owner = in
		t.mu.instances[id] = in
		in.pool = t.poolLocked(deployment)
		in.pool.list = append(in.pool.list, in)
	}
	return in
}

func (t *Table) dropLocked(in *Instance) {
	in.gone = true
	t.mu.prefixes.Drop(&in.held)
	delete(t.mu.instances, in.Target.Instance)
	p := in.pool
	for i, other := range p.list {
		if other == in {
			p.list = append(p.list[:i], p.list[i+1:]...)
			break
		}
	}
	t.tidyLocked(in.Deployment, p)
}

// tidyLocked forgets a pool that nobody is in.
func (t *Table) tidyLocked(deployment string, p *pool) {
	if len(p.list) == 0 && p.queue.Len() == 0 {
		delete(t.mu.pools, deployment)
	}
}

// learnDigest is learn for a load that came by digest, unless an answer has told what is newer.
func (in *Instance) learnDigest(l *spec.Load, now time.Time) {
	if l.Seq < in.seq {
		in.heard = now
		return
	}
	in.learn(l, now)
}

// learn takes over what the instance told, so that what this gateway did
// before is part of it.
func (in *Instance) learn(l *spec.Load, now time.Time) {
	in.Slots, in.Running, in.Queued = l.Slots, l.Running, l.Queued
	in.KVUse, in.Backlog = l.KVUse, l.BacklogSeconds
	if l.PrefillTPS > 0 {
		in.PrefillTPS = l.PrefillTPS
	}
	if l.DecodeTPS > 0 {
		in.DecodeTPS = l.DecodeTPS
	}
	in.seq, in.heard, in.paced = l.Seq, now, l.Paced
	if l.Running+l.Queued > 0 {
		in.busy = now
	}
	in.since = 0
	in.read = now.Add(backlogOf(l))
}

// Candidates counts a deployment's instances and those that are ready.
func (t *Table) Candidates(deployment string) (all, ready int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.pools[deployment]
	if p == nil {
		return 0, 0
	}
	q, now := Query{}, t.cfg.Now()
	for _, in := range p.list {
		if in.ready(&q, now) {
			ready++
		}
	}
	return len(p.list), ready
}

// Size counts the instances known.
func (t *Table) Size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mu.instances)
}
