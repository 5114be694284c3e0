package balance

import (
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestDemandsTellOfTheWindow: each request once, with what it has waited; what is old is gone.
func TestDemandsTellOfTheWindow(t *testing.T) {
	now := time.Unix(1000, 0)
	tab := NewTable(Config{Now: func() time.Time { return now }})
	p := tab.poolLocked("m")
	in := &Instance{State: ready}
	q := &Query{Deployment: "m"}
	p.counts(q, now)
	p.counts(q, now)
	q.came = now
	now = now.Add(2 * time.Second)
	p.countsPlace(q, in, now)
	p.countsPlace(q, in, now)
	p.demand.at(now).refused++
	d := tab.Demands()
	if len(d) != 1 || d[0].Deployment != "m" || d[0].Arrived != 1 || d[0].Refused != 1 || len(d[0].Waits) != spec.WaitBound(2*time.Second)+1 || d[0].Waits[len(d[0].Waits)-1] != 1 {
		t.Fatalf("%v", d)
	}
	now = now.Add(9 * time.Second) // it came 11 s ago, and was given its place 9 s ago
	if d := tab.Demands(); len(d) != 1 || d[0].Arrived != 0 || len(d[0].Waits) == 0 {
		t.Errorf("%v", d)
	}
	now = now.Add(time.Minute)
	if d := tab.Demands(); len(d) != 0 {
		t.Errorf("%v", d)
	}
}
