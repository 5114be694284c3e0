package batch

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Bounds of the wait for a slot between two looks.
const (
	minWait = 20 * time.Millisecond
	maxWait = 500 * time.Millisecond
)

// A turn is a lane's wait for a slot.
type turn struct {
	lane  *lane
	lease chan uint64 // takes one: the place that is kept for it; 0: nobody waits in the lane any more
	since time.Time
}

// run serves one call of the lane's, and plans the next one.
func (b *Batcher) run(l *lane) {
	var (
		lease   uint64
		p       *batch
		callers []*caller
	)
	defer func() {
		if v := recover(); v != nil { // it is a goroutine of its own, where a panic would end the node
			b.cfg.Log.Error("panic while requests went together", "instance", l.group.Instance, "panic", v, "stack", string(debug.Stack()))
			if p != nil {
				p.cancel()
			}
			for _, c := range callers {
				b.deliver(c, result{err: errPanic})
			}
			if lease != 0 { // declined in vain where the call has taken it
				b.decline(l.group.Target, lease)
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		l.running--
		b.planLocked(l)
	}()
	for {
		p, callers = b.cut(l)
		if len(callers) == 0 {
			if lease != 0 {
				b.decline(l.group.Target, lease)
			}
			return
		}
		refused := b.serve(p, l, callers, lease)
		p.cancel()
		if refused == nil {
			return
		}
		b.uncut(l, callers)
		callers = nil
		if lease = b.await(l, refused.RetryAfter); b.work.Err() != nil {
			if lease != 0 {
				b.decline(l.group.Target, lease)
			}
			b.fail(l, errClosed)
			return
		}
	}
}

var errPanic error = &spec.Error{Code: spec.CodeInternal, Message: "The request failed in the node."}

// cut takes those who go together now.
func (b *Batcher) cut(l *lane) (*batch, []*caller) {
	p := &batch{}
	p.ctx, p.cancel = context.WithCancel(b.work)
	b.mu.Lock()
	defer b.mu.Unlock()
	l.limits = b.learntLocked(l.group.Instance, l.limits)
	callers := l.cut()
	for _, c := range callers {
		c.batch = p
	}
	if p.left = len(callers); p.left == 0 {
		p.cancel()
	}
	if l.limits.Calls > 1 {
		b.planLocked(l) // what is left may be due beside it
	}
	return p, callers
}

// uncut has those wait again who found no slot.
func (b *Batcher) uncut(l *lane, callers []*caller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range callers {
		c.batch = nil
	}
	l.back(callers)
}

// fail ends the wait of all in the lane.
func (b *Batcher) fail(l *lane, err error) {
	for {
		p, callers := b.cut(l)
		if len(callers) == 0 {
			return
		}
		for _, c := range callers {
			b.deliver(c, result{err: err})
		}
		p.cancel()
	}
}

// await waits for a place of the instance's, or for as long as it is worth waiting
// before the instance is asked without. 0: no place is kept.
func (b *Batcher) await(l *lane, retry time.Duration) (lease uint64) {
	t := &turn{lane: l, lease: make(chan uint64, 1), since: time.Now()}
	b.mu.Lock()
	id := l.group.Instance
	b.mu.slots[id] = append(b.mu.slots[id], t)
	b.reserveLocked(l.group.Target, 0)
	b.mu.Unlock()
	timer := time.NewTimer(min(max(retry, minWait), maxWait))
	defer timer.Stop()
	select {
	case lease = <-t.lease:
		return lease
	case <-timer.C:
	case <-b.work.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quitLocked(t)
	select {
	case lease = <-t.lease: // it came in between
	default:
		b.reserveLocked(l.group.Target, 0)
	}
	return lease
}

// quitLocked ends a wait.
func (b *Batcher) quitLocked(t *turn) {
	id := t.lane.group.Instance
	b.mu.slots[id] = slices.DeleteFunc(b.mu.slots[id], func(o *turn) bool { return o == t })
	if len(b.mu.slots[id]) == 0 {
		delete(b.mu.slots, id)
	}
}

// abandonLocked ends the waits of a lane in which nobody waits.
func (b *Batcher) abandonLocked(l *lane) {
	for _, t := range slices.Clone(b.mu.slots[l.group.Instance]) {
		if t.lane == l {
			b.quitLocked(t)
			t.lease <- 0
			b.reserveLocked(l.group.Target, 0)
		}
	}
}

// reserveLocked tells the instance's actor how many calls wait for it, and gives back a
// place; 0: none.
func (b *Batcher) reserveLocked(target spec.Target, declined uint64) {
	b.mu.seq++
	r := spec.Reservation{Gateway: Gateway, Instance: target.Instance, Seq: b.mu.seq, Declined: declined}
	if waits := b.mu.slots[target.Instance]; len(waits) > 0 {
		r.Count, r.Age = len(waits), time.Since(waits[0].since)
		r.Priority, r.Cost = usualPriority, waits[0].lane.tokens
	}
	b.cfg.Reserve(target.Device, r)
}

// usualPriority is where requests stand of which nobody has said otherwise: those of all
// priorities go together.
const usualPriority = 1

func (b *Batcher) decline(target spec.Target, lease uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserveLocked(target, lease)
}

// Granted takes a place that was reserved in the name of Gateway. device is where the
// instance is.
func (b *Batcher) Granted(device spec.DeviceID, lease spec.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waits := b.mu.slots[lease.Instance]
	if len(waits) == 0 {
		b.reserveLocked(spec.Target{Device: device, Instance: lease.Instance}, lease.ID)
		return
	}
	t := waits[0]
	b.quitLocked(t)
	t.lease <- lease.ID
	b.reserveLocked(t.lane.group.Target, 0)
}

// asBusy is the refusal that err is for want of a slot; nil: it is something else.
func asBusy(err error) *spec.Rejection {
	var r *spec.Rejection
	if errors.As(err, &r) && r.Reason == spec.RejectBusy {
		return r
	}
	return nil
}
