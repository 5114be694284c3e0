package state

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
)

func TestSnapshotIndexLeavesTheSnapshot(t *testing.T) {
	r := filled(t)
	raw := snapshotOf(t, r.Store)
	in := bufio.NewReader(bytes.NewReader(raw))
	index, err := SnapshotIndex(in)
	if err != nil || index != r.Index() {
		t.Fatalf("it is of %d (%v), want %d", index, err, r.Index())
	}
	if rest, err := io.ReadAll(in); err != nil || !bytes.Equal(rest, raw) {
		t.Errorf("%d of %d bytes are left to be read (%v)", len(rest), len(raw), err)
	}
	for what, bad := range map[string][]byte{"nothing": nil, "a part of the head": raw[:20], "something else": bytes.Repeat([]byte{'x'}, 64)} {
		if _, err := SnapshotIndex(bufio.NewReader(bytes.NewReader(bad))); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCheckEntry(t *testing.T) {
	newer := putSetting("a", "b")
	newer.Level = Level + 1
	for what, c := range map[string]struct {
		entry *wire.Entry
		want  error
	}{
		"Raft's own": {&wire.Entry{Index: 1}, nil}, "a command": {&wire.Entry{Index: 1, Command: encode(t, putSetting("a", "b"))}, nil},
		"a later one": {&wire.Entry{Index: 1, Command: encode(t, newer)}, ErrLevel}, "none": {&wire.Entry{Index: 1, Command: []byte("x")}, ErrLevel},
	} {
		if err := CheckEntry(c.entry); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// TestDatabaseOfAMoment: what is deleted later is there still.
func TestDatabaseOfAMoment(t *testing.T) {
	r := newReplica(t)
	key := []byte("lx")
	try(t, r.db.Pebble().Set(key, []byte("then"), nil))
	f, err := r.Freeze()
	try(t, err)
	try(t, r.db.Pebble().Delete(key, nil))
	value, closer, err := f.Database().Get(key)
	if err != nil || string(value) != "then" {
		t.Fatalf("%q (%v)", value, err)
	}
	try(t, closer.Close())
	try(t, f.Close())
}
