package gossip

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestSubscribersSeeTheSameStory: one that comes late is told of who is there,
// and from then on hears what the first one hears.
func TestSubscribersSeeTheSameStory(t *testing.T) {
	n := newNotifier()
	table := newTable(Member{ID: "self"}, time.Now, n.tell)
	go n.run()
	defer n.close()
	var early, late record
	n.subscribe(early.add)
	table.put(Member{ID: "a"})
	table.put(Member{ID: "b"})
	table.put(Member{ID: "a"})                 // no change
	table.put(Member{ID: "self", Zone: "fog"}) // never told of
	table.remove("a")
	table.put(Member{ID: "c"})
	n.subscribe(late.add)
	table.put(Member{ID: "b", Build: "v2"})
	table.remove("b")
	table.remove("b") // no change
	table.remove("self")
	eventually(t, 30*time.Second, "both are told", func() bool {
		return early.text() == "+a +b -a +c +b -b" && late.text() == "+b +c +b -b"
	})
	if got := late.events[2].Member.Build; got != "v2" {
		t.Errorf("the update carries build %q", got)
	}
	if _, ok := table.member("self"); !ok {
		t.Error("this node is no member any more")
	}
}

func TestManyEventsKeepTheirOrder(t *testing.T) {
	n := newNotifier()
	table := newTable(Member{ID: "self"}, time.Now, n.tell)
	go n.run()
	defer n.close()
	var r record
	n.subscribe(r.add)
	var want []string
	for i := range 500 {
		id := fmt.Sprint("n", i)
		table.NotifyJoin(&memberlist.Node{Name: id, Meta: []byte(`{"g":"eu"}`)})
		table.NotifyLeave(&memberlist.Node{Name: id})
		want = append(want, "+"+id, "-"+id)
	}
	eventually(t, 30*time.Second, "all are told", func() bool { return r.text() == strings.Join(want, " ") })
}

// TestBarredMembersAreKeptOut: who was removed has the key still, and is neither
// let in nor listened to.
func TestBarredMembersAreKeptOut(t *testing.T) {
	f := newFabric()
	var barred atomic.Bool
	c := config("a", listen(t, f))
	c.Barred = func(id spec.NodeID) bool { return barred.Load() && id == "b" }
	a := start(t, c)
	got := make(chan digest, 100)
	a.OnDigest(func(from spec.NodeID, raw []byte) { got <- digest{from, raw} })
	cb := config("b", listen(t, f))
	cb.Seeds = []string{a.config.Port.Addr()}
	b := start(t, cb)
	eventually(t, 30*time.Second, "a and b know each other", func() bool { return a.Alive("b") && b.Alive("a") })
	barred.Store(true)
	a.receive(encodeDigest("b", []byte("x")))
	if len(got) != 0 {
		t.Error("a barred member's digest was taken")
	}
	b.Shutdown()
	eventually(t, 30*time.Second, "b is gone", func() bool { return !a.Alive("b") })
	cb.Port = listen(t, f)
	b = start(t, cb)
	eventually(t, 30*time.Second, "b has found a", func() bool { return b.Alive("a") })
	time.Sleep(300 * time.Millisecond)
	if a.Alive("b") {
		t.Error("a barred node came to life")
	}
}

// TestBarredItself: a node that was removed knows itself all the same, so that it
// may change what it tells, leave and end.
func TestBarredItself(t *testing.T) {
	c := config("a", listen(t, newFabric()))
	c.Barred = func(id spec.NodeID) bool { return id == "a" }
	a := start(t, c)
	if err := a.SetFault(DiskStalled); err != nil {
		t.Error(err)
	}
	if err := a.Leave(30 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestUnreadableMembersAreKeptOut(t *testing.T) {
	table := newTable(Member{ID: "self"}, time.Now, func(Event) {})
	for name, n := range map[string]*memberlist.Node{
		"name": {Name: "Not Valid", Meta: []byte(`{}`)},
		"meta": {Name: "a", Meta: []byte(`{`)},
		"long": {Name: "a", Meta: []byte(`{"g":"` + strings.Repeat("x", 600) + `"}`)},
	} {
		if table.NotifyAlive(n) == nil {
			t.Errorf("%s: let in", name)
		}
		table.NotifyJoin(n)
	}
	if got := table.members(); len(got) != 1 {
		t.Errorf("members: %v", got)
	}
}
