package state

import (
	"bytes"
	"testing"
)

// TestNeeds: the level that it takes to follow the state comes with entries and
// snapshots, and is still known when the state is opened again.
func TestNeeds(t *testing.T) {
	r := filled(t)
	var snapshot bytes.Buffer
	if _, err := r.WriteSnapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	copied := newReplica(t)
	if r.Needs() != 1 || copied.Needs() != 0 {
		t.Errorf("with commands of level 1 the state needs %d, with none %d", r.Needs(), copied.Needs())
	}
	try(t, copied.ReadSnapshot(&snapshot))
	if copied.Needs() != 1 {
		t.Errorf("a restored state needs %d", copied.Needs())
	}
	again := r.restart(t)
	defer again.db.Close()
	if again.Needs() != 1 {
		t.Errorf("a state that is opened again needs %d", again.Needs())
	}
}
