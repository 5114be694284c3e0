package scale

import (
	"slices"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// A Sample is what one look has shown of one deployment.
type Sample struct {
	At     time.Time
	Placed int // replicas that have a place
	Ready  int // of them, that serve

	Slots    int // of all that serve
	Running  int // requests that hold one
	Queued   int // that wait inside of engines
	Tokens   float64
	Load     time.Duration // that a replica takes to be loaded; 0: not told
	Squeezed bool          // replicas had no place

	Demand
}

// A Demand is what gateways have of a deployment's requests.
type Demand struct {
	Waiting int           // now
	Oldest  time.Duration // of those
	// What follows is of the last Window.
	Window  time.Duration
	Arrived int
	Refused int // for want of room
	Waits   [len(spec.WaitBounds)]uint32
}

// Add sums up what another gateway tells.
func (d *Demand) Add(w *wire.Demand) {
	d.Waiting += int(min(w.GetWaiting(), mostTold))
	d.Oldest = max(d.Oldest, time.Duration(w.GetOldestMs())*time.Millisecond)
	d.Window = max(d.Window, time.Duration(w.GetWindowMs())*time.Millisecond)
	d.Arrived += int(min(w.GetArrived(), mostTold))
	d.Refused += int(min(w.GetRefused(), mostTold))
	for i, n := range w.GetWaits()[:min(len(w.GetWaits()), len(d.Waits))] {
		d.Waits[i] += min(n, mostTold)
	}
}

// mostTold bounds what one gateway may say of one deployment, so that no sum of a
// thousand wraps.
const mostTold = 1 << 21

// started counts the requests of the window that were given places.
func (d *Demand) started() int {
	n := 0
	for _, w := range d.Waits {
		n += int(w)
	}
	return n
}

// late tells whether fewer than nine of ten requests were given places within the target.
func (d *Demand) late(target time.Duration) bool {
	bound := spec.WaitBound(target)
	slow := 0
	for _, w := range d.Waits[bound+1:] {
		slow += int(w)
	}
	return slow*10 > d.started()
}

// A Look is what earlier decisions found to be needed.
type Look struct {
	From, At time.Time // of the first and the last of them
	Up       int       // replicas that what was asked for needs, the least of them
	Down     int       // the same with room to spare, the most: fewer are not wanted before this is fewer
}

func (l Look) with(later Look) Look {
	return Look{From: l.From, At: later.At, Up: min(l.Up, later.Up), Down: max(l.Down, later.Down)}
}

// A History is all that Decide goes by.
type History struct {
	Samples []Sample // of the last Memory, the oldest first
	Looks   []Look   // of the last Windows, the oldest first
	Since   time.Time
	Wanted  int       // by the last decision
	Lowered time.Time // when it last became less
	// What was learnt of the deployment, for when nothing shows it.
	Load  time.Duration // that a replica takes to be loaded
	Slots float64       // of one replica; 0: not known
	Hold  float64       // seconds that a request holds a slot; 0: not known
}

// Memory is how far back samples are of use, and Windows earlier looks, by the scale.
const Memory = 2 * time.Minute

func Windows(s *wire.Scale) time.Duration { return max(upWindow(s), downWindow(s)) }

func upWindow(s *wire.Scale) time.Duration {
	return time.Duration(s.GetUpWindowMs()) * time.Millisecond
}

func downWindow(s *wire.Scale) time.Duration {
	if ms := s.GetDownWindowMs(); ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return spec.DefaultDownWindow
}

func slotUse(s *wire.Scale) float64 {
	if u := float64(s.GetSlotUse()); u > 0 {
		return min(u, 1)
	}
	return spec.DefaultSlotUse
}

func queueWait(s *wire.Scale) time.Duration {
	if ms := s.GetQueueWaitMs(); ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return spec.DefaultQueueWait
}

// since is the samples that are no older than the span, the newest at least.
func since(samples []Sample, span time.Duration) []Sample {
	if len(samples) == 0 {
		return nil
	}
	from := samples[len(samples)-1].At.Add(-span)
	i, _ := slices.BinarySearchFunc(samples, from, func(s Sample, t time.Time) int { return s.At.Compare(t) })
	return samples[i:]
}
