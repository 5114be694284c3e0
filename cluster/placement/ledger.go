package placement

import "slices"

// A ledger is the devices' memory on paper, by device.
type ledger struct {
	room   []int64    // beside its head-room, once what is on its way has left; below 0: too full
	shared [][]uint64 // of those that are loaded on demand and stay; never changed in place
	most   []uint64   // of shared
}

func (p *plan) ledger() ledger {
	n := len(p.devices)
	l := ledger{make([]int64, n), make([][]uint64, n), make([]uint64, n)}
	for i, d := range p.devices {
		l.room[i] = int64(d.free+d.coming) - int64(d.owed) - int64(d.load.MemoryTotal/headroom)
	}
	for name, all := range p.byDeployment {
		for _, x := range all {
			if !x.OnDemand || x.leaves || !p.byName[name].InForce(x.Version) {
				continue
			}
			for _, d := range x.all() {
				if d != nil {
					l.enter(d, x.MemoryBytes, true)
				}
			}
		}
	}
	return l
}

func (l *ledger) clone() ledger {
	return ledger{slices.Clone(l.room), slices.Clone(l.shared), slices.Clone(l.most)}
}

// spare is what the device has left beside the largest that is loaded on demand there.
func (l *ledger) spare(d *device) int64 { return l.room[d.at] - int64(l.most[d.at]) }

// admits tells whether the device could take so much more.
func (l *ledger) admits(d *device, bytes uint64, onDemand bool) bool {
	if onDemand {
		return l.room[d.at] >= int64(max(l.most[d.at], bytes))
	}
	return l.spare(d) >= int64(bytes)
}

func (l *ledger) enter(d *device, bytes uint64, onDemand bool) {
	if !onDemand {
		l.room[d.at] -= int64(bytes)
		return
	}
	l.shared[d.at] = append(slices.Clip(l.shared[d.at]), bytes)
	l.most[d.at] = max(l.most[d.at], bytes)
}

func (l *ledger) leave(d *device, bytes uint64, onDemand bool) {
	if !onDemand {
		l.room[d.at] += int64(bytes)
		return
	}
	left := slices.Clone(l.shared[d.at])
	if i := slices.Index(left, bytes); i >= 0 {
		left = slices.Delete(left, i, i+1)
	}
	l.shared[d.at], l.most[d.at] = left, 0
	if len(left) > 0 {
		l.most[d.at] = slices.Max(left)
	}
}

// gain is what the device has more to spare once the replica has left it.
func (l *ledger) gain(d *device, x *replica) uint64 {
	if !x.OnDemand {
		return x.MemoryBytes
	}
	before := l.shared[d.at]
	l.leave(d, x.MemoryBytes, true)
	left := l.most[d.at]
	l.shared[d.at] = before
	if len(before) > 0 {
		l.most[d.at] = slices.Max(before)
	}
	return l.most[d.at] - left
}

// move takes the replica from where it is to other devices; to none: it ends.
func (l *ledger) move(t transfer) {
	for _, d := range t.x.all() {
		l.leave(d, t.x.MemoryBytes, t.x.OnDemand)
	}
	l.take(t)
}

func (l *ledger) take(t transfer) {
	need := t.need()
	for _, d := range t.to {
		l.enter(d, need, t.x.OnDemand)
	}
}

// back undoes move.
func (l *ledger) back(t transfer) {
	need := t.need()
	for _, d := range t.to {
		l.leave(d, need, t.x.OnDemand)
	}
	for _, d := range t.x.all() {
		l.enter(d, t.x.MemoryBytes, t.x.OnDemand)
	}
}

// holds tells whether all of them could take the replica beside what they have.
func (l *ledger) holds(t transfer) bool {
	need := t.need()
	return !slices.ContainsFunc(t.to, func(d *device) bool { return !l.admits(d, need, t.x.OnDemand) })
}
