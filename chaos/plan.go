package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lotabots/lotabots/chaos/links"
)

// A Kind is a kind of fault.
type Kind string

// The kinds.
const (
	Kill  Kind = "kill"  // SIGKILL to one node, which is started again after Hold
	Stop  Kind = "stop"  // SIGSTOP to one node, SIGCONT after Hold
	Power Kind = "power" // SIGKILL to every node at once, all started again after Hold
	Cut   Kind = "cut"   // one node is cut off from all others for Hold
)

// Kinds lists them.
var Kinds = []Kind{Kill, Stop, Power, Cut}

// A Direction is what a cut node is cut off from, as it sees it.
type Direction string

// The directions.
const (
	Both Direction = "both" // it neither hears nor is heard
	In   Direction = "in"   // it does not hear the others
	Out  Direction = "out"  // the others do not hear it
)

// A Fault is one fault of a plan. Times are from the start of the load.
type Fault struct {
	Kind Kind          `json:"kind"`
	Node int           `json:"node"` // index; of no meaning for power
	At   time.Duration `json:"at_ns"`
	Hold time.Duration `json:"hold_ns"`

	// Of a cut alone.
	Direction Direction  `json:"direction,omitempty"`
	Mode      links.Mode `json:"mode,omitempty"`
}

// String names the fault without its node and times.
func (f Fault) String() string {
	if f.Kind != Cut {
		return string(f.Kind)
	}
	return fmt.Sprintf("%s %s, %s", f.Kind, f.Direction, f.Mode)
}

const (
	quiet    = 2 * time.Second // at both ends of the load
	recovery = 5 * time.Second // at least, between the end of one fault and the next
)

// Plan is the schedule of a seed: the same arguments give the same faults. At
// most a minority is hit at a time, but for power. Kinds come in turn, from a
// random first, so that even a short run has all that fit. The plans of old
// seeds stay what they are when a kind is added: it draws from the same source
// only where it is asked for.
func Plan(seed int64, duration time.Duration, nodes int, kinds []Kind) []Fault {
	random := rand.New(rand.NewPCG(uint64(seed), 0x10ba7075))
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(int64(high-low)+1))
	}
	var out []Fault
	turn := random.IntN(len(kinds))
	victim := random.IntN(nodes)
	for at := quiet + between(0, time.Second); ; {
		f := Fault{Kind: kinds[turn%len(kinds)], Node: victim % nodes, At: at.Round(time.Millisecond)}
		switch f.Kind {
		case Stop:
			f.Hold = between(500*time.Millisecond, 6*time.Second).Round(time.Millisecond)
		case Cut:
			f.Hold = between(time.Second, 7*time.Second).Round(time.Millisecond)
			f.Direction = []Direction{Both, In, Out}[random.IntN(3)]
			f.Mode = []links.Mode{links.Freeze, links.Reset}[random.IntN(2)]
		default:
			f.Hold = between(200*time.Millisecond, 3*time.Second).Round(time.Millisecond)
		}
		if f.At+f.Hold+quiet > duration {
			return out
		}
		out = append(out, f)
		turn++
		victim += 1 + random.IntN(nodes) // any node, the same one again too
		at = f.At + f.Hold + recovery + between(0, 3*time.Second)
	}
}
