package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/storage"
	"github.com/lotabots/lotabots/storage/raftlog"
)

// Databases that builds of each format have left are under storage/testdata. They
// are never changed: `go test ./storage/state -run GoldenDatabases -update` makes
// the one of this build's format, if there is none yet.
func goldenDir(format uint32) string {
	return filepath.Join("..", "testdata", fmt.Sprintf("format-%d", format))
}

// goldenCommands are what every golden database has applied, in this order from
// index 1. What is added here is added at the end, and only read from formats
// that have it.
func goldenCommands(format uint32) []*wire.Command {
	key := func(id, tenant, name string, expires int64) *wire.Command {
		c := putKey(id, tenant, name)
		c.GetPutKey().Key.ExpiresMs = expires
		return c
	}
	list := []*wire.Command{
		putTenant(&wire.Tenant{Id: "acme", Name: "Acme"}),
		putModel("tiny", "7"),
		key("k1", "acme", "first", 0),
		key("k2", "acme", "second", 5_000_000),
		key("k3", "other", "third", 4_000_000),
		key("k4", "acme", "gone", 0),
		revokeKey("k4"),
		deploy(&wire.Deployment{Name: "chat", Model: "tiny", Engine: "embedded", Replicas: 1}),
		deploy(&wire.Deployment{Name: "search", Model: "tiny", Engine: "embedded", Replicas: 2}),
		deploy(&wire.Deployment{Name: "away", Engine: "external"}),
		putSetting("note", "kept for ever"),
	}
	for i, c := range list {
		c.RequestId, c.AtMs, c.Level = fmt.Sprintf("r%d", i), 1_000_000, 1
	}
	if format >= 3 {
		list = append(list, staffing()...)
		list = append(list, refresh("s1", "f", "1", "2"), rotateKey("kb", "n", 500), touchKeys(&wire.KeyUse{Id: "kb", AtMs: 900}),
			revokeSession("s2", ""), removeUser("bob"), noteAudit(&wire.NoteAudit{Action: "login", Target: "user:eve", Outcome: "login_failed", Count: 3}))
	}
	if format >= 4 {
		list = append(list, putUsage("l1", 0, 2, sumOf(90_000, "acme", "ka", 2, 30)), putUsage("l1", 2, 3, sumOf(150_000, "acme", "ka", 1, 5)))
	}
	if format >= 5 {
		list = append(list, putBudgets(1_000_000, spent("key/ka/tpd", 0, 70, 5)))
	}
	return list
}

func TestGoldenDatabases(t *testing.T) {
	if _, err := os.Stat(goldenDir(storage.Format)); os.IsNotExist(err) && *update {
		makeGolden(t, goldenDir(storage.Format))
	}
	for format := uint32(1); format <= storage.Format; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(goldenDir(format))); err != nil {
				t.Fatalf("every format has a database that a build of it left: %v", err)
			}
			for range 2 { // the second time in this build's own format
				checkGolden(t, dir, goldenCommands(format))
			}
		})
	}
}

func makeGolden(t *testing.T, dir string) {
	t.Helper()
	db, err := storage.Open(dir, storage.Options{})
	try(t, err)
	s, err := Open(db)
	try(t, err)
	log := raftlog.New(db)
	for i, c := range goldenCommands(storage.Format) {
		l := &raft.Log{Index: uint64(i + 1), Term: 2, Data: encode(t, c)}
		try(t, log.StoreLog(l))
		s.Apply(l)
		if i == 5 {
			try(t, db.Pebble().Flush()) // so that tables and the write-ahead log both have something
		}
	}
	try(t, log.DeleteRange(1, 3))
	try(t, log.SetUint64([]byte("CurrentTerm"), 2))
	try(t, log.Set([]byte("LastVoteCand"), []byte("n1")))
	try(t, db.Sync())
	try(t, db.Close())
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "LOCK" {
			return os.Remove(path)
		}
		return err
	})
}

func checkGolden(t *testing.T, dir string, commands []*wire.Command) {
	t.Helper()
	db, err := storage.Open(dir, storage.Options{})
	try(t, err)
	defer db.Close()
	s, err := Open(db)
	try(t, err)
	want := newReplica(t)
	for i, c := range commands {
		want.Apply(&raft.Log{Index: uint64(i + 1), Term: 2, Data: encode(t, c)})
	}
	sameHash(t, "the golden state and one of this build", s, want.Store)
	checkIndexes(t, "the golden database", s)
	checkLog(t, &replica{Store: s})
	log := raftlog.New(db)
	first, err := log.FirstIndex()
	try(t, err)
	last, err := log.LastIndex()
	try(t, err)
	if first != 4 || last != uint64(len(commands)) {
		t.Errorf("the log goes from %d to %d", first, last)
	}
	for i := first; i <= last; i++ {
		var l raft.Log
		try(t, log.GetLog(i, &l))
		if l.Term != 2 || !bytes.Equal(l.Data, encode(t, commands[i-1])) {
			t.Errorf("entry %d is %+v", i, l)
		}
	}
	if term, err := log.GetUint64([]byte("CurrentTerm")); err != nil || term != 2 {
		t.Errorf("the term is %d (%v)", term, err)
	}
	if vote, err := log.Get([]byte("LastVoteCand")); err != nil || string(vote) != "n1" {
		t.Errorf("the vote is %q (%v)", vote, err)
	}
	raw, closer, err := db.Pebble().Get(storage.Meta.Key([]byte("format")))
	try(t, err)
	defer closer.Close()
	if !slices.Equal(raw, binary.BigEndian.AppendUint32(nil, storage.Format)) {
		t.Errorf("the database says that its format is %x", raw)
	}
}
