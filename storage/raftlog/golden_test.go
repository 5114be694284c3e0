package raftlog_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// TestFormatOnDisk holds the bytes of keys and entries: databases that exist
// have them, so a change needs a new storage.Format.
func TestFormatOnDisk(t *testing.T) {
	db := database(t, vfs.NewMem())
	s := raftlog.New(db)
	entry := &raft.Log{Index: 0x0102030405060708, Term: 300, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(0, 1000)}
	must(t, s.StoreLog(entry))
	must(t, s.SetUint64([]byte("CurrentTerm"), 300))
	for key, want := range map[string]string{
		"l\x01\x02\x03\x04\x05\x06\x07\x08": "01" + "05" + "ac02" + "d00f" + "04" + hex.EncodeToString([]byte("dataext")),
		"sCurrentTerm":                      "000000000000012c",
	} {
		raw, closer, err := db.Pebble().Get([]byte(key))
		if err != nil {
			t.Fatalf("key %q: %v", key, err)
		}
		if got := hex.EncodeToString(raw); got != want {
			t.Errorf("key %q has\n%s, want\n%s", key, got, want)
		}
		closer.Close()
	}
}

// FuzzDamagedEntry looks for bytes on disk that are read without an error and
// come to something else when written again, or that make the reader panic.
func FuzzDamagedEntry(f *testing.F) {
	f.Add([]byte{1, 0, 1, 0, 4, 'd', 'a', 't', 'a', 'x'})
	f.Add([]byte{1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{2, 0, 1, 0, 0})
	db := database(f, vfs.NewMem())
	s := raftlog.New(db)
	f.Fuzz(func(t *testing.T, raw []byte) {
		key := storage.RaftLog.Key([]byte{0, 0, 0, 0, 0, 0, 0, 9})
		must(t, db.Pebble().Set(key, raw, pebble.NoSync))
		var first, second raft.Log
		if s.GetLog(9, &first) != nil {
			return
		}
		must(t, s.StoreLog(&first))
		must(t, s.GetLog(9, &second))
		if string(first.Data) != string(second.Data) || string(first.Extensions) != string(second.Extensions) ||
			first.Term != second.Term || first.Type != second.Type || !first.AppendedAt.Equal(second.AppendedAt) {
			t.Fatalf("%+v came back as %+v", first, second)
		}
	})
}
