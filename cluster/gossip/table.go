package gossip

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A table is who is alive. memberlist writes it, under a lock of its own and in
// order; anybody reads it. It hands every change on without waiting.
type table struct {
	self   spec.NodeID
	now    func() time.Time
	change func(Event) // must not block; called under the table's lock, so in order
	barred func(spec.NodeID) bool

	mu struct {
		sync.RWMutex
		members map[spec.NodeID]Member
		lost    time.Time // when a member was last lost
	}
}

func newTable(self Member, now func() time.Time, change func(Event)) *table {
	t := &table{self: self.ID, now: now, change: change, barred: func(spec.NodeID) bool { return false }}
	t.mu.members = map[spec.NodeID]Member{self.ID: self}
	return t
}

// members returns the living, this node included, ordered by id.
func (t *table) members() []Member {
	t.mu.RLock()
	out := make([]Member, 0, len(t.mu.members))
	for _, m := range t.mu.members {
		out = append(out, m)
	}
	t.mu.RUnlock()
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

// count is for who asks with every request.
func (t *table) count(role spec.Role) (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, m := range t.mu.members {
		if slices.Contains(m.Roles, role) {
			n++
		}
	}
	return n
}

func (t *table) member(id spec.NodeID) (Member, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	m, ok := t.mu.members[id]
	return m, ok
}

// others counts the living but this node, and tells how long ago one was lost;
// ever is false if none ever was.
func (t *table) others() (count int, lostFor time.Duration, ever bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.mu.members) - 1, t.now().Sub(t.mu.lost), !t.mu.lost.IsZero()
}

// put takes in a member that came or changed.
func (t *table) put(m Member) {
	if m.ID == t.self {
		return // what this node is, it knows best
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.mu.members[m.ID]; ok && old.equal(m) {
		return
	}
	t.mu.members[m.ID] = m
	t.change(Event{Member: m, Up: true})
}

// setSelf changes what this node says of itself.
func (t *table) setSelf(m Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.members[t.self] = m
}

// remove drops a member that died or left.
func (t *table) remove(id spec.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.mu.members[id]
	if !ok || id == t.self {
		return
	}
	delete(t.mu.members, id)
	t.mu.lost = t.now()
	t.change(Event{Member: m})
}

// The methods that follow are called by memberlist.

// NotifyAlive keeps those out that are barred, or cannot be read: they would be
// members without a role or a valid name. This node itself is let in whatever is
// known of it: memberlist takes its own entry for granted, in Leave and UpdateNode.
func (t *table) NotifyAlive(n *memberlist.Node) error {
	m, err := decodeMember(n.Name, n.Address(), n.Meta)
	if err == nil && m.ID != t.self && t.barred(m.ID) {
		err = errBarred
	}
	return err
}

var errBarred = errors.New("it is no member any more")

// NotifyJoin is called when a member came to life.
func (t *table) NotifyJoin(n *memberlist.Node) {
	if m, err := decodeMember(n.Name, n.Address(), n.Meta); err == nil {
		t.put(m)
	}
}

// NotifyUpdate is called when a member's metadata changed.
func (t *table) NotifyUpdate(n *memberlist.Node) { t.NotifyJoin(n) }

// NotifyLeave is called when a member died or left.
func (t *table) NotifyLeave(n *memberlist.Node) { t.remove(spec.NodeID(n.Name)) }
