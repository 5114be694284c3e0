package gossip

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
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
	eventually(t, 5*time.Second, "both are told", func() bool {
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
	eventually(t, 5*time.Second, "all are told", func() bool { return r.text() == strings.Join(want, " ") })
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
