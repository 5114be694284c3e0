package gpu

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A laneBesideTable has two tables take the same requests: one by messages alone, one as
// far as it can through the lane.
type laneBesideTable struct {
	t            *rapid.T
	asked, spare *table
	a, b         *inst // of asked and of spare
	now          time.Time
	last         Lease
	held         []Lease
	passed       int
}

func newLaneBesideTable(t *rapid.T, tb testing.TB) *laneBesideTable {
	l := &laneBesideTable{t: t, asked: newTestTable(), spare: newTestTable(), now: traceEpoch}
	slots := rapid.Uint32Range(1, 6).Draw(t, "slots")
	tps := rapid.SampledFrom([]float64{0, 100, 2000}).Draw(t, "tps")
	for _, tab := range []*table{l.asked, l.spare} {
		in := tab.mustBeReady(tb, model("a", 1, 1), slots)
		in.busy.PrefillTPS, in.context = tps, rapid.SampledFrom([]uint32{0, 300}).Draw(t, "context")
	}
	l.a, l.b = l.asked.instances["a"], l.spare.instances["a"]
	l.b.context = l.a.context
	l.b.lane = &Lane{device: "gpu/1", tell: func() {}, still: func() {}}
	return l
}

// settle is what an actor does around each message.
func (l *laneBesideTable) settle(message func()) {
	passages := l.b.lane.shut()
	for i := range passages {
		l.spare.pass(l.b, &passages[i])
	}
	message()
	if terms, ok := l.spare.terms(l.b, l.now); ok {
		terms.load = l.spare.loadOf(l.b, l.now)
		l.b.lane.reopen(terms)
	}
	if l.a.leases != l.b.leases || l.a.unread != l.b.unread || len(l.asked.leases) != len(l.spare.leases) {
		l.t.Fatalf("%d leases and %d tokens unread by messages, %d and %d through the lane", l.a.leases, l.a.unread, l.b.leases, l.b.unread)
	}
}

func (l *laneBesideTable) admit() {
	l.last++
	m := ask(l.last, "a")
	m.PromptTokens = rapid.IntRange(1, 200).Draw(l.t, "prompt")
	_, _, refused := l.asked.admit(m, l.now)
	if got, ok := l.b.lane.Admit("gpu/1", m, l.now); ok {
		l.passed++
		if refused != nil || got.Engine == nil || got.Load.Running != l.a.leases {
			l.t.Fatalf("the lane let in with %+v what is refused as %+v", got.Load, refused)
		}
	} else {
		l.settle(func() {
			if _, _, r := l.spare.admit(m, l.now); (r == nil) != (refused == nil) {
				l.t.Fatalf("by a message %+v, after what had passed %+v", refused, r)
			}
		})
	}
	if refused == nil {
		l.held = append(l.held, l.last)
	}
}

func (l *laneBesideTable) release() {
	if len(l.held) == 0 {
		return
	}
	at := rapid.IntRange(0, len(l.held)-1).Draw(l.t, "of")
	m := &Release{Lease: l.held[at]}
	l.held = append(l.held[:at], l.held[at+1:]...)
	l.asked.release(m, l.now)
	if load, ok := l.b.lane.Release(m, l.now); !ok {
		l.settle(func() { l.spare.release(m, l.now) })
	} else if load.Running != l.a.leases {
		l.t.Fatalf("%d said to run, %d do", load.Running, l.a.leases)
	}
}

func (l *laneBesideTable) firstByte() {
	if len(l.held) == 0 {
		return
	}
	m := &FirstByte{Lease: rapid.SampledFrom(l.held).Draw(l.t, "of")}
	l.asked.firstByte(m, l.now)
	if !l.b.lane.FirstByte(m, l.now) {
		l.settle(func() { l.spare.firstByte(m, l.now) })
	}
}

// TestALaneLetsInWhatItsActorWould, and the actor knows it before it decides anything.
func TestALaneLetsInWhatItsActorWould(t *testing.T) {
	passed := 0
	rapid.Check(t, func(r *rapid.T) {
		l := newLaneBesideTable(r, t)
		l.settle(func() {})
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			l.now = l.now.Add(time.Duration(rapid.IntRange(0, 300).Draw(r, "ms")) * time.Millisecond)
			switch rapid.SampledFrom([]string{"admit", "admit", "release", "first byte", "message"}).Draw(r, "step") {
			case "admit":
				l.admit()
			case "release":
				l.release()
			case "first byte":
				l.firstByte()
			case "message":
				l.settle(func() {})
			}
		}
		l.settle(func() {})
		passed += l.passed
	})
	if passed == 0 {
		t.Error("nothing went through a lane")
	}
}

// TestALaneIsClosed wherever the actor has more to say than how many may come.
func TestALaneIsClosed(t *testing.T) {
	for name, bend := range map[string]func(*table, *inst){
		"draining":       func(tab *table, _ *inst) { tab.draining = true },
		"restarting":     func(tab *table, in *inst) { tab.becomes(in, restarting, nil) },
		"yielding":       func(_ *table, in *inst) { in.yielding = true },
		"leaving":        func(_ *table, in *inst) { in.leaving = true },
		"somebody waits": func(tab *table, _ *inst) { tab.waits(&Waits{waitsAt("g", 1, 1)}, traceEpoch) },
		"full":           func(tab *table, _ *inst) { tab.admit(ask(1, "a"), traceEpoch) },
		"granted": func(tab *table, in *inst) {
			tab.grants = true
			tab.waits(&Waits{waitsAt("g", 1, 1)}, traceEpoch)
			tab.next(in, traceEpoch)
		},
		"memory is waited for": func(tab *table, _ *inst) {
			tab.mustAdd(t, model("b", 1, 1)).waiting = true
		},
	} {
		tab := newTestTable()
		in := tab.mustBeReady(t, model("a", 1, 1), 1)
		if _, ok := tab.terms(in, traceEpoch); !ok {
			t.Fatal("it is not open at all")
		}
		bend(tab, in)
		if got, ok := tab.terms(in, traceEpoch); ok {
			t.Errorf("%s: open on %+v", name, got)
		}
	}
}

// TestALaneTakesOnlyWhatFits its terms, and nothing while it is closed.
func TestALaneTakesOnlyWhatFits(t *testing.T) {
	lane := &Lane{device: "gpu/1", tell: func() {}, still: func() {}}
	fits := terms{deployment: "d", version: 3, requests: 1, tokens: 1000, longest: 100}
	for name, bend := range map[string]func(*Admit, *terms){
		"another deployment": func(m *Admit, _ *terms) { m.Deployment = "e" },
		"another version":    func(m *Admit, _ *terms) { m.Version = 2 },
		"an adapter":         func(m *Admit, _ *terms) { m.Adapter = "x" },
		"a place is kept":    func(m *Admit, _ *terms) { m.Kept = 1 },
		"others wait":        func(m *Admit, _ *terms) { m.Waits = spec.Reservation{Seq: 1} },
		"a place declined":   func(m *Admit, _ *terms) { m.Waits.Declined = 1 },
		"too long a prompt":  func(m *Admit, _ *terms) { m.PromptTokens = 101 },
		"no tokens left":     func(_ *Admit, t *terms) { t.tokens = 0 },
		"full":               func(_ *Admit, t *terms) { t.requests = 0 },
	} {
		m, on := ask(1, "a"), fits
		bend(m, &on)
		lane.reopen(on)
		if _, ok := lane.Admit("gpu/1", m, traceEpoch); ok {
			t.Errorf("%s: let in", name)
		}
	}
	lane.reopen(fits)
	if _, ok := lane.Admit("gpu/2", ask(1, "a"), traceEpoch); ok {
		t.Error("another device's was let in")
	}
	if _, ok := lane.Admit("gpu/1", ask(1, "a"), traceEpoch); !ok {
		t.Error("what fits was not let in")
	}
	if got := lane.shut(); len(got) != 1 || got[0].kind != cameIn || got[0].Lease != 1 {
		t.Errorf("noted %+v", got)
	}
	_, in := lane.Admit("gpu/1", ask(2, "a"), traceEpoch)
	if _, out := lane.Release(&Release{Lease: 1}, traceEpoch); in || out || lane.FirstByte(&FirstByte{Lease: 1}, traceEpoch) {
		t.Error("a closed lane was passed")
	}
	if _, in := (*Lane)(nil).Admit("gpu/1", ask(2, "a"), traceEpoch); in {
		t.Error("no lane was passed")
	}
}
